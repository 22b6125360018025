//! Go's text/template in Rust.
//!
//! Text becomes a [`Template`], a template and data become bytes; both can fail, with Go's words, line and column.
//! Functions are closures, objects have fields and methods, and nothing here reads a clock, a file or the network.
//!
//! ```
//! use lobby_template::{Func, Funcs, Settings, Template, Type, Value};
//!
//! let shout = Func::new([Type::Str], |args| match &args[0] {
//!     Value::Str(text) => Ok(text.to_text().to_uppercase().into()),
//!     _ => Err("no text".into()),
//! });
//! let funcs = Funcs::from_iter([("shout", shout)]);
//! let template = Template::parse("greeting", "hello {{.name | shout}}{{range .tags}} #{{.}}{{end}}", &Default::default(), &funcs)?;
//! let data = Value::any_map([("name", "world".into()), ("tags", Value::strings(["a", "b"]))]);
//! assert_eq!(template.execute(&funcs, &data, &Settings::default())?, b"hello WORLD #a #b");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What differs from Go's: numbers can be ranged over and there is `{{else with}}` (as in newer Go than the 1.19 that the
//! tests ask), `=` in a range sets the variables that it names (the same), a nil list or map is just an empty one, no map can
//! be put into itself, `len` of no value says so in other words, and where Go prints addresses of pointers we print what they
//! point to, a constant for `%p`, the type of a function and the bounds of a channel.
//!
//! Knows nothing of Lobby, nor of consul-template's functions: those are `lobby-render`.

mod builtin;
mod bytes;
mod error;
mod exec;
pub mod format;
pub mod func;
mod lex;
mod number;
pub mod parse;
mod print;
mod set;
pub mod tree;
pub mod value;

pub use error::ExecError;
pub use func::{CallError, Func, Funcs};
pub use parse::{Options, ParseError, parse};
pub use print::print;
pub use set::{Limits, MissingKey, Settings, Template};
pub use tree::line_and_column;
pub use value::{Object, Str, Type, Value};
