//! Losses of rows: their reduction.

use crate::math::Numeric;

/// The losses of rows as they are, or their sum, of one chain, over the divisor.
pub(crate) fn reduced<T: Numeric>(losses: &[T], each: bool, divisor: f64, loss: &mut [T]) {
    if each {
        return loss.copy_from_slice(losses);
    }
    let sum = losses.iter().fold(T::default(), |sum, &loss| sum + loss);
    loss[0] = T::from_f64(sum.to_f64() / divisor);
}
