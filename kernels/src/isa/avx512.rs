//! Loads, stores and masks.
