//! What templates compute with: Go's values, as far as a template can tell them apart, and their types. Decides truth
//! and zero values; printing is `fmt`, comparing and indexing `builtin`, what can be called `func`.

mod bytes;
mod kind;
mod map;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

pub use bytes::Str;
pub use kind::{Type, Width};
pub use map::{Entries, Map};

use crate::func::Func;

/// A value; cheap to clone.
#[derive(Debug, Clone, Default)]
pub enum Value {
    /// Go's nil, and no value at all.
    #[default]
    Nil,
    /// `true` or `false`.
    Bool(bool),
    /// A signed integer, with the width of its Go type.
    Int(i64, Width),
    /// An unsigned integer, with the width of its Go type.
    Uint(u64, Width),
    /// A `float64`.
    Float(f64),
    /// A `complex128`: real and imaginary part.
    Complex(f64, f64),
    /// A Go string: bytes, mostly UTF-8.
    Str(Str),
    /// A slice.
    List(Arc<List>),
    /// A map.
    Map(Arc<Map>),
    /// A struct, or a pointer to one.
    Object(Arc<dyn Object>),
    /// Something that can be called.
    Func(Func),
    /// A channel that gives these numbers, as `int64`: what `loop` makes, without holding them all.
    Range(Range<i64>),
}

/// A Go slice with the type of its elements, which `%T` and error texts show.
#[derive(Debug, Clone)]
pub struct List {
    /// The type that every item has, or `Type::Any`.
    pub element: Type,
    /// The items.
    pub items: Vec<Value>,
}

/// A key of a map. All keys of one map are of one kind; the order between kinds is only there to be total.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// `false` before `true`.
    Bool(bool),
    /// By number.
    Int(i64),
    /// By number.
    Uint(u64),
    /// By bytes.
    Str(Str),
}

/// A Go struct (or a pointer to one): named fields in a fixed order, and methods.
pub trait Object: Debug + Send + Sync {
    /// The Go type, as error texts show it: `*dep.HealthService`.
    fn type_name(&self) -> &str;

    /// A field by its exact name.
    fn field(&self, name: &str) -> Option<Value>;

    /// All fields in the order of declaration, for printing.
    fn fields(&self) -> Vec<(&str, Value)>;

    /// What it prints, if it says so itself (Go's `String()` and `Error()`).
    fn text(&self) -> Option<Str> {
        None
    }

    /// A method by its exact name, bound to this object.
    fn method(self: Arc<Self>, _name: &str) -> Option<Func> {
        None
    }
}

impl Value {
    /// An `int`.
    pub fn int(value: i64) -> Self {
        Self::Int(value, Width::Word)
    }

    /// An `int64`.
    pub fn int64(value: i64) -> Self {
        Self::Int(value, Width::W64)
    }

    /// A `uint64`.
    pub fn uint64(value: u64) -> Self {
        Self::Uint(value, Width::W64)
    }

    /// A slice whose items all have the type `element`.
    pub fn list(element: Type, items: Vec<Value>) -> Self {
        Self::List(Arc::new(List { element, items }))
    }

    /// A `[]string`.
    pub fn strings<S: Into<Str>>(items: impl IntoIterator<Item = S>) -> Self {
        Self::list(Type::Str, items.into_iter().map(|item| Self::Str(item.into())).collect())
    }

    /// A map with keys of the type `key` and values of the type `element`.
    pub fn map(key: Type, element: Type, entries: BTreeMap<Key, Value>) -> Self {
        Self::Map(Arc::new(Map::new(key, element, entries)))
    }

    /// A `map[string]string`.
    pub fn string_map<K: Into<Str>, V: Into<Str>>(entries: impl IntoIterator<Item = (K, V)>) -> Self {
        let entries = entries.into_iter().map(|(key, value)| (Key::Str(key.into()), Self::Str(value.into())));
        Self::map(Type::Str, Type::Str, entries.collect())
    }

    /// A `map[string]interface {}`.
    pub fn any_map<K: Into<Str>>(entries: impl IntoIterator<Item = (K, Value)>) -> Self {
        let entries = entries.into_iter().map(|(key, value)| (Key::Str(key.into()), value));
        Self::map(Type::Str, Type::Any, entries.collect())
    }

    /// What `if` and `with` make of it: false, 0, nil and what is empty are not true; objects and functions are.
    pub fn truth(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(value, _) => *value != 0,
            Self::Uint(value, _) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Complex(real, imaginary) => *real != 0.0 || *imaginary != 0.0,
            Self::Str(value) => !value.is_empty(),
            Self::List(list) => !list.items.is_empty(),
            Self::Map(map) => !map.is_empty(),
            Self::Object(_) | Self::Func(_) | Self::Range(_) => true,
        }
    }

    /// Its own type; `None` for nil, which has none.
    pub fn type_of(&self) -> Option<Type> {
        Some(match self {
            Self::Nil => return None,
            Self::Bool(_) => Type::Bool,
            Self::Int(_, width) => Type::Int(*width),
            Self::Uint(_, width) => Type::Uint(*width),
            Self::Float(_) => Type::Float,
            Self::Complex(..) => Type::Complex,
            Self::Str(_) => Type::Str,
            Self::List(list) => Type::List(Arc::new(list.element.clone())),
            Self::Map(map) => Type::Map(Arc::new((map.key.clone(), map.element.clone()))),
            Self::Object(object) => Type::Named(object.type_name().into()),
            Self::Func(func) => func.type_of(),
            Self::Range(_) => Type::Named("<-chan int64".into()),
        })
    }
}

impl List {
    /// Whether its items may be of any type.
    pub fn holds_anything(&self) -> bool {
        self.element == Type::Any
    }
}

/// A template can nest values as deep as it has steps: they are taken apart one by one, not from within each other.
impl Drop for List {
    fn drop(&mut self) {
        take_apart(std::mem::take(&mut self.items));
    }
}

fn take_apart(mut open: Vec<Value>) {
    while let Some(value) = open.pop() {
        match value {
            Value::List(list) => {
                open.extend(Arc::into_inner(list).into_iter().flat_map(|mut list| std::mem::take(&mut list.items)))
            }
            Value::Map(map) => open.extend(Arc::into_inner(map).into_iter().flat_map(|mut map| map.take_values())),
            _ => {}
        }
    }
}

impl Key {
    /// The key as a value of the map's key type.
    pub fn to_value(&self, key: &Type) -> Value {
        match (self, key) {
            (Self::Bool(value), _) => Value::Bool(*value),
            (Self::Int(value), Type::Int(width)) => Value::Int(*value, *width),
            (Self::Int(value), _) => Value::int(*value),
            (Self::Uint(value), Type::Uint(width)) => Value::Uint(*value, *width),
            (Self::Uint(value), _) => Value::uint64(*value),
            (Self::Str(value), _) => Value::Str(value.clone()),
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Str(value.into())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Str(value.into())
    }
}

impl From<Str> for Value {
    fn from(value: Str) -> Self {
        Self::Str(value)
    }
}

impl<O: Object + 'static> From<Arc<O>> for Value {
    fn from(object: Arc<O>) -> Self {
        Self::Object(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_empty_is_not_true() {
        let no = [Value::Nil, Value::int(0), Value::from(""), Value::from(0.0), Value::strings::<&str>([])];
        assert!(no.iter().all(|value| !value.truth()));
        let yes = [Value::from(true), Value::uint64(1), Value::from("0"), Value::strings([""])];
        assert!(yes.iter().all(Value::truth));
    }

    #[test]
    fn types_read_as_in_go() {
        let name = |value: Value| value.type_of().map(|it| it.to_string());
        assert_eq!(name(Value::strings(["a"])).as_deref(), Some("[]string"));
        assert_eq!(name(Value::any_map([("a", Value::Nil)])).as_deref(), Some("map[string]interface {}"));
        assert_eq!(name(Value::Uint(7, Width::W8)).as_deref(), Some("uint8"));
        assert_eq!(name(Value::Nil), None);
    }

    #[test]
    fn deep_values_go_without_deep_calls() {
        let deep = |wrap: fn(Value) -> Value| drop((0..1_000_000).fold(Value::Nil, |value, _| wrap(value)));
        deep(|value| Value::list(Type::Any, vec![value]));
        deep(|value| Value::any_map([("k", value)]));
    }
}
