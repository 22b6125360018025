//! Laws of the model, checked with random inputs.

mod catalog_laws;
mod change;
mod golden;
mod laws;
mod offers;
mod service_view;
mod services;
