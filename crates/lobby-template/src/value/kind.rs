//! The types of values, as Go names them. Decides how they read and what their zero values are.

use std::fmt;
use std::sync::Arc;

use super::{List, Map, Value};

/// How wide a Go integer is; it shows in `%T`, in error texts and where a constant would not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// `int`, `uint`: 64 bits here.
    Word,
    /// `int8`, `uint8`.
    W8,
    /// `int16`, `uint16`.
    W16,
    /// `int32`, `uint32`.
    W32,
    /// `int64`, `uint64`.
    W64,
}

/// The type of a value, of the elements of a list or map, or of a parameter.
#[derive(Debug, Clone, PartialEq)]
pub enum Type {
    /// `interface {}`: anything, nil as well.
    Any,
    /// `bool`
    Bool,
    /// `int`, `int8` …
    Int(Width),
    /// `uint`, `uint8` …
    Uint(Width),
    /// `float64`
    Float,
    /// `complex128`
    Complex,
    /// `string`
    Str,
    /// A slice, by the type of its elements.
    List(Arc<Type>),
    /// A map, by the types of its keys and values.
    Map(Arc<(Type, Type)>),
    /// A struct or a pointer to one, by its name.
    Named(Arc<str>),
    /// A function, by its signature.
    Func(Arc<str>),
}

impl Type {
    /// `int`
    pub const INT: Self = Self::Int(Width::Word);
    /// `int64`
    pub const INT64: Self = Self::Int(Width::W64);
    /// `uint64`
    pub const UINT64: Self = Self::Uint(Width::W64);

    /// A slice of these.
    pub fn list(self) -> Self {
        Self::List(Arc::new(self))
    }

    /// A map from strings to these.
    pub fn string_map(self) -> Self {
        Self::Map(Arc::new((Self::Str, self)))
    }

    /// Whether nil is a value of this type.
    pub fn can_be_nil(&self) -> bool {
        matches!(self, Self::Any | Self::List(_) | Self::Map(_) | Self::Named(_) | Self::Func(_))
    }

    /// Whether a list or map of these can have lists or maps in it.
    pub fn holds_others(&self) -> bool {
        matches!(self, Self::Any | Self::List(_) | Self::Map(_))
    }

    /// What a variable of this type holds before anything is assigned: nil for structs and functions, which are
    /// pointers here.
    pub fn zero(&self) -> Value {
        match self {
            Self::Any | Self::Named(_) | Self::Func(_) => Value::Nil,
            Self::Bool => Value::Bool(false),
            Self::Int(width) => Value::Int(0, *width),
            Self::Uint(width) => Value::Uint(0, *width),
            Self::Float => Value::Float(0.0),
            Self::Complex => Value::Complex(0.0, 0.0),
            Self::Str => Value::from(""),
            Self::List(element) => Value::List(Arc::new(List { element: Type::clone(element), items: Vec::new() })),
            Self::Map(types) => {
                let (key, element) = Arc::unwrap_or_clone(types.clone());
                Value::Map(Arc::new(Map::new(key, element, Default::default())))
            }
        }
    }
}

impl Width {
    /// The signed integer of this width that has the same lowest bits.
    pub(crate) fn wrap(self, number: i64) -> i64 {
        let lost = 64 - self.bits();
        number << lost >> lost
    }

    /// The unsigned integer of this width that has the same lowest bits.
    pub(crate) fn wrap_unsigned(self, number: u64) -> u64 {
        number & u64::MAX >> (64 - self.bits())
    }

    fn bits(self) -> u32 {
        match self {
            Self::W8 => 8,
            Self::W16 => 16,
            Self::W32 => 32,
            Self::Word | Self::W64 => 64,
        }
    }

    /// What follows `int` or `uint` in Go's name of the type.
    fn suffix(self) -> &'static str {
        match self {
            Self::Word => "",
            Self::W8 => "8",
            Self::W16 => "16",
            Self::W32 => "32",
            Self::W64 => "64",
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("interface {}"),
            Self::Bool => f.write_str("bool"),
            Self::Int(width) => write!(f, "int{}", width.suffix()),
            Self::Uint(width) => write!(f, "uint{}", width.suffix()),
            Self::Float => f.write_str("float64"),
            Self::Complex => f.write_str("complex128"),
            Self::Str => f.write_str("string"),
            Self::List(element) => write!(f, "[]{element}"),
            Self::Map(types) => write!(f, "map[{}]{}", types.0, types.1),
            Self::Named(name) | Self::Func(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_wrap_at_their_width() {
        assert_eq!([Width::W8, Width::W16, Width::W64].map(|width| width.wrap(200)), [-56, 200, 200]);
        assert_eq!([Width::W8, Width::W32, Width::Word].map(|width| width.wrap_unsigned(511)), [255, 511, 511]);
        assert_eq!(Width::W8.wrap(i64::MAX), -1);
    }
}
