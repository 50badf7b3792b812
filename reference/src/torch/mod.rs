//! libtorch, the independent witness. Feature `libtorch`.

pub mod about;
