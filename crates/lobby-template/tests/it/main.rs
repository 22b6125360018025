//! Everything that needs more than one module: text in, bytes or an error out, as a program that uses the crate sees it.

mod fixture;
mod functions;
mod generate;
mod limits;
mod peer;
mod random;
mod values;
