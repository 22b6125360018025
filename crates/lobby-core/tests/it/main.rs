//! Laws of the model, checked with random inputs.

mod golden;
mod laws;
