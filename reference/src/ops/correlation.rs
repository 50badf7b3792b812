//! The three products of a convolution without its finish: y of x and w, x of y and w, w of x and y.
//!
//! Each is linear in both factors, and the second and third are the adjoints of the first. They go tap by tap: the part of
//! the padded images that a tap meets is an image as large as y, and what is left is a product of matrices.

use ndarray::{Array2, Array4, ArrayD, ArrayView3, ArrayView4, ArrayViewMut3, Axis, Ix4, Slice};

use super::conv2d::Conv2d;

impl Conv2d {
    /// `y[n, k, i, j] = Σ x[n, c, h, v]·w[k, c, r, s]`, where tap (r, s) of output (i, j) meets (h, v).
    pub(super) fn sums(&self, x: &ArrayD<f64>, w: &ArrayD<f64>) -> Array4<f64> {
        let x = self.padded(x);
        let mut y = Array4::zeros([self.y.n, self.y.c, self.y.h, self.y.w]);
        for (mut y, x) in y.outer_iter_mut().zip(x.outer_iter()) {
            for g in 0..self.groups {
                let mut sum = Array2::zeros([self.group_out(), self.y.h * self.y.w]);
                for (r, s) in ndarray::indices([self.rows.taps, self.cols.taps]) {
                    sum +=
                        &self.filter(w, g, r, s).dot(&matrix(x.slice_each_axis(|axis| self.met(axis.axis, g, r, s))));
                }
                let shape = [self.group_out(), self.y.h, self.y.w];
                let mut y = y.slice_axis_mut(Axis(0), self.outputs_of(g));
                y.assign(&sum.into_shape_with_order(shape).expect("pixels"));
            }
        }
        y
    }

    /// `x[n, c, h, v] = Σ y[n, k, i, j]·w[k, c, r, s]` over the outputs (i, j) whose tap (r, s) meets (h, v).
    pub(super) fn spread(&self, y: &ArrayD<f64>, w: &ArrayD<f64>) -> Array4<f64> {
        let mut padded = Array4::zeros([self.x.n, self.x.c, self.rows.padded(), self.cols.padded()]);
        for (mut x, y) in padded.outer_iter_mut().zip(four(y).outer_iter()) {
            for g in 0..self.groups {
                let y = matrix(y.slice_axis(Axis(0), self.outputs_of(g)));
                for (r, s) in ndarray::indices([self.rows.taps, self.cols.taps]) {
                    let part = self.filter(w, g, r, s).t().dot(&y);
                    let shape = [self.group_in(), self.y.h, self.y.w];
                    let mut met: ArrayViewMut3<'_, f64> = x.slice_each_axis_mut(|axis| self.met(axis.axis, g, r, s));
                    met += &part.into_shape_with_order(shape).expect("pixels");
                }
            }
        }
        padded.slice_each_axis(|axis| self.inside(axis.axis)).to_owned()
    }

    /// `w[k, c, r, s] = Σ x[n, c, h, v]·y[n, k, i, j]` over images and outputs.
    pub(super) fn correlated(&self, x: &ArrayD<f64>, y: &ArrayD<f64>) -> Array4<f64> {
        let x = self.padded(x);
        let mut w = Array4::zeros(self.weights());
        for (x, y) in x.outer_iter().zip(four(y).outer_iter()) {
            for g in 0..self.groups {
                let y = matrix(y.slice_axis(Axis(0), self.outputs_of(g)));
                for (r, s) in ndarray::indices([self.rows.taps, self.cols.taps]) {
                    let part = y.dot(&matrix(x.slice_each_axis(|axis| self.met(axis.axis, g, r, s))).t());
                    let mut filters = w.slice_axis_mut(Axis(0), self.outputs_of(g));
                    let mut filters = filters.index_axis_mut(Axis(3), s);
                    let mut filters = filters.index_axis_mut(Axis(2), r);
                    filters += &part;
                }
            }
        }
        w
    }

    /// The images among their zeros.
    pub(super) fn padded(&self, x: &ArrayD<f64>) -> Array4<f64> {
        let mut padded = Array4::zeros([self.x.n, self.x.c, self.rows.padded(), self.cols.padded()]);
        padded.slice_each_axis_mut(|axis| self.inside(axis.axis)).assign(&four(x));
        padded
    }

    /// The image on an axis of padded images.
    fn inside(&self, axis: Axis) -> Slice {
        match axis {
            Axis(2) => self.rows.inside(),
            Axis(3) => self.cols.inside(),
            _ => Slice::from(..),
        }
    }

    /// What tap (r, s) of each output meets, on an axis of a padded image: the group's channels, rows, columns.
    fn met(&self, axis: Axis, group: usize, r: usize, s: usize) -> Slice {
        match axis {
            Axis(0) => Slice::from(group * self.group_in()..(group + 1) * self.group_in()),
            Axis(1) => self.rows.under(r),
            _ => self.cols.under(s),
        }
    }

    /// The output channels of a group.
    fn outputs_of(&self, group: usize) -> Slice {
        Slice::from(group * self.group_out()..(group + 1) * self.group_out())
    }

    /// The weights of a group's tap: output × input channels.
    fn filter(&self, w: &ArrayD<f64>, group: usize, r: usize, s: usize) -> Array2<f64> {
        let w = four(w).slice_axis(Axis(0), self.outputs_of(group)).to_owned();
        w.index_axis_move(Axis(3), s).index_axis_move(Axis(2), r).to_owned()
    }
}

/// Four dimensions.
fn four(x: &ArrayD<f64>) -> ArrayView4<'_, f64> {
    x.view().into_dimensionality::<Ix4>().expect("four dimensions")
}

/// Channels × pixels.
fn matrix(x: ArrayView3<'_, f64>) -> Array2<f64> {
    let (channels, rows, cols) = x.dim();
    x.to_owned().into_shape_with_order([channels, rows * cols]).expect("as many elements")
}
