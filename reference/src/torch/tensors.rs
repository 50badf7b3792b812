//! Buffers as tensors and back.

use ndarray::{ArrayD, IxDyn};
use tch::{Kind, TchError, Tensor};

use crate::tensor::Initial;
use crate::{DType, Data, Layout, Port};

/// A copy of the buffer, seen through the layout: the strides are those of the layout, and gaps keep their contents.
///
/// # Errors
/// If the buffer is too short.
pub(super) fn tensor(layout: &Layout, data: &Data) -> Result<Tensor, TchError> {
    let flat = match data {
        Data::F64(v) => Tensor::f_from_slice(v),
        Data::F32(v) => Tensor::f_from_slice(v),
        Data::F16(v) => Tensor::f_from_slice(v),
        // `tch` takes the bits of bf16 for those of f16.
        Data::Bf16(_) => narrowed(data, Kind::BFloat16),
        Data::E5m2(_) => narrowed(data, Kind::Float8e5m2),
        Data::E4m3(_) => narrowed(data, Kind::Float8e4m3fn),
        Data::I64(v) => Tensor::f_from_slice(v),
        Data::I32(v) => Tensor::f_from_slice(v),
        Data::I8(v) => Tensor::f_from_slice(v),
        Data::U8(v) => Tensor::f_from_slice(v),
        Data::Bool(v) => Tensor::f_from_slice(&v.iter().map(|flag| flag.0 != 0).collect::<Vec<_>>()),
    }?;
    let [shape, strides] =
        [&layout.shape, &layout.strides].map(|list| list.iter().map(|&x| x as i64).collect::<Vec<_>>());
    flat.f_as_strided(shape, strides, None)
}

/// By way of f32, which holds every value of the shorter floats.
fn narrowed(data: &Data, kind: Kind) -> Result<Tensor, TchError> {
    let wide: Vec<f32> = data.to_f64().iter().map(|&x| x as f32).collect();
    Tensor::f_from_slice(&wide)?.f_to_kind(kind)
}

/// The inputs. One that the problem does not read may be short; it becomes an empty tensor.
///
/// # Errors
/// If the number of buffers, a dtype or a length does not fit the ports.
pub(super) fn inputs(ports: &[Port], unread: &[usize], data: &[Data]) -> Result<Vec<Tensor>, TchError> {
    if ports.len() != data.len() {
        return Err(TchError::Shape(format!("{} inputs, expected {}", data.len(), ports.len())));
    }
    let of = |(position, (port, data)): (usize, (&Port, &Data))| {
        if port.dtype != data.dtype() {
            return Err(TchError::Kind(format!("{} is of {}, expected {}", port.name, data.dtype(), port.dtype)));
        }
        if unread.contains(&position) && data.len() < port.layout.span() {
            return tensor(&Layout::absent(), &Data::zeros(port.dtype, 0));
        }
        tensor(&port.layout, data)
    };
    ports.iter().zip(data).enumerate().map(of).collect()
}

/// Buffers of the outputs: updated inputs hold the input's values, the others zeros.
///
/// # Errors
/// If a buffer that is updated is too short.
pub(super) fn outputs(ports: &[Port], inputs: &[Data]) -> Result<Vec<Tensor>, TchError> {
    let of = |port: &Port| match port.initial {
        Initial::Input(index) => tensor(&port.layout, &inputs[index]),
        Initial::Poison => tensor(&port.layout, &Data::zeros(port.dtype, port.layout.span())),
    };
    ports.iter().map(of).collect()
}

/// A logical array as a contiguous tensor.
///
/// # Errors
/// What libtorch says.
pub(super) fn from_array(dtype: DType, array: &ArrayD<f64>) -> Result<Tensor, TchError> {
    let values: Vec<f64> = array.iter().copied().collect();
    tensor(&Layout::contiguous(array.shape()), &Data::from_f64(dtype, &values))
}

/// The logical array of a tensor; exact for every dtype.
///
/// # Errors
/// What libtorch says.
pub(super) fn to_array(tensor: &Tensor) -> Result<ArrayD<f64>, TchError> {
    let shape: Vec<usize> = tensor.size().iter().map(|&n| n as usize).collect();
    let wide = tensor.f_detach()?.f_to_kind(Kind::Double)?.f_contiguous()?;
    let mut values = vec![0.0; wide.numel()];
    wide.f_copy_data(&mut values, wide.numel())?;
    ArrayD::from_shape_vec(IxDyn(&shape), values).map_err(|e| TchError::Shape(e.to_string()))
}
