//! The data of the cases in `fixtures/`, the same as in `go/cases.go`: values of every kind that there is. Decides nothing;
//! the functions that give them are in `functions`.

use std::collections::BTreeMap;
use std::sync::Arc;

use lobby_template::value::{Key, Object, Str, Type, Value, Width};
use lobby_template::{CallError, Func};

use super::functions::join;

/// An instance of a service, with the fields that the cases name.
#[derive(Debug)]
struct Instance {
    id: &'static str,
    address: &'static str,
    port: i64,
    tags: &'static [&'static str],
}

impl Object for Instance {
    fn type_name(&self) -> &str {
        "*main.S"
    }

    fn field(&self, name: &str) -> Option<Value> {
        self.fields().into_iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    fn fields(&self) -> Vec<(&str, Value)> {
        vec![
            ("ID", self.id.into()),
            ("Name", "www".into()),
            ("Address", self.address.into()),
            ("Port", Value::int(self.port)),
            ("Tags", Value::strings(self.tags.iter().copied())),
            ("ServiceMeta", Value::string_map([("k", "v")])),
        ]
    }
}

/// Says itself what it prints, and has methods.
#[derive(Debug)]
struct Named(&'static str);

impl Object for Named {
    fn type_name(&self) -> &str {
        "*main.Named"
    }

    fn field(&self, name: &str) -> Option<Value> {
        (name == "Word").then(|| self.0.into())
    }

    fn fields(&self) -> Vec<(&str, Value)> {
        vec![("Word", self.0.into())]
    }

    fn text(&self) -> Option<Str> {
        Some(format!("<{}>", self.0).into())
    }

    fn method(self: Arc<Self>, name: &str) -> Option<Func> {
        match name {
            "String" => Some(Func::new([], move |_| Ok(format!("<{}>", self.0).into()))),
            "Fail" => Some(Func::new([], |_| Err(CallError("boom".into())))),
            "Join" => Some(Func::variadic([Type::Str], Type::Str, |args| {
                let Value::Str(separator) = &args[0] else { return Ok(Value::Nil) };
                Ok(join(&separator.to_text(), &Value::list(Type::Str, args[1..].to_vec())))
            })),
            _ => None,
        }
    }
}

pub(crate) fn named(word: &'static str) -> Value {
    Arc::new(Named(word)).into()
}

/// What the Go program calls by these names.
pub(crate) fn all() -> Vec<(&'static str, Value)> {
    let named = named("n");
    [plain(), lists(), maps()]
        .into_iter()
        .flatten()
        .chain([
            ("s0", instance("www0", "10.0.0.1", 80, &["a", "b"])),
            ("named", named.clone()),
            ("nameds", Value::list(Type::Any, vec![named, "x".into()])),
        ])
        .collect()
}

fn plain() -> Vec<(&'static str, Value)> {
    vec![
        ("nil", Value::Nil),
        ("true", true.into()),
        ("false", false.into()),
        ("zero", Value::int(0)),
        ("three", Value::int(3)),
        ("minus", Value::int(-3)),
        ("i8", Value::Int(-128, Width::W8)),
        ("i16", Value::Int(300, Width::W16)),
        ("i32", Value::Int(-70000, Width::W32)),
        ("min", Value::int64(i64::MIN)),
        ("max", Value::int64(i64::MAX)),
        ("rune", Value::int(0x1F600)),
        ("u8", Value::Uint(200, Width::W8)),
        ("u0", Value::Uint(0, Width::Word)),
        ("u16", Value::Uint(65535, Width::W16)),
        ("u32", Value::Uint(3, Width::W32)),
        ("u64", Value::uint64(u64::MAX)),
        ("f0", 0.0.into()),
        ("nf0", (-0.0).into()),
        ("f", 1.5.into()),
        ("nf", (-2.25).into()),
        ("big", 1e21.into()),
        ("edge", 123_456_789.0.into()),
        ("small", 1e-7.into()),
        ("third", (1.0 / 3.0).into()),
        ("most", f64::MAX.into()),
        ("least", f64::from_bits(1).into()),
        ("inf", f64::INFINITY.into()),
        ("ninf", f64::NEG_INFINITY.into()),
        ("nan", f64::NAN.into()),
        ("c", Value::Complex(1.5, -2.0)),
        ("c0", Value::Complex(0.0, 0.0)),
        ("cbig", Value::Complex(-1e30, 1e-9)),
        ("cinf", Value::Complex(f64::INFINITY, f64::NAN)),
        ("empty", "".into()),
        ("s", "abc".into()),
        ("utf8", "žluť 😀".into()),
        ("bad", Value::Str(b"a\xff\xc3(z"[..].into())),
        ("html", "<a href='x'>&\"\x00=`\u{2028}</a>".into()),
        ("ctl", "\x07\x08\x0c\n\r\t\x0b\\\x00\x7f\u{a0}\u{200b}".into()),
        ("raw", "a`b".into()),
        ("digits", "007".into()),
    ]
}

fn lists() -> Vec<(&'static str, Value)> {
    let mixed = vec![
        Value::int(1),
        "two".into(),
        3.5.into(),
        Value::Nil,
        true.into(),
        Value::list(Type::Any, vec![Value::Uint(7, Width::W8)]),
        Value::any_map([("k", Value::Nil)]),
    ];
    vec![
        ("ints", Value::list(Type::INT, [3, -1, 200].map(Value::int).into())),
        ("strings", Value::strings([&b"a b"[..], b"<c>", b"\xff"])),
        ("floats", Value::list(Type::Float, [0.1, 2e10].map(Value::from).into())),
        ("bools", Value::list(Type::Bool, [true, false].map(Value::from).into())),
        ("list", Value::list(Type::Any, mixed)),
        ("none", Value::list(Type::Any, Vec::new())),
        ("nested", Value::list(Type::Str.list(), vec![Value::strings(["a"]), Value::strings::<&str>([])])),
    ]
}

fn maps() -> Vec<(&'static str, Value)> {
    let map = |key, element, entries: Vec<(Key, Value)>| Value::map(key, element, entries.into_iter().collect());
    let y = map(Type::Str, Type::INT, vec![(Key::Str("y".into()), Value::int(1))]);
    let pair = Value::list(Type::INT, vec![Value::int(1), Value::int(2)]);
    vec![
        ("m", m()),
        ("ms", Value::string_map([("b", "2"), ("a", "1"), ("", "e")])),
        ("mi", numbered([(10, "x"), (2, "y"), (-1, "z")])),
        ("mb", map(Type::Bool, Type::INT, [true, false].map(|key| (Key::Bool(key), Value::int(key.into()))).into())),
        ("mu", map(Type::Uint(Width::W8), Type::Float, vec![(Key::Uint(7), 0.5.into()), (Key::Uint(3), 2.0.into())])),
        ("mm", map(Type::Str, Type::INT.string_map(), vec![(Key::Str("x".into()), y)])),
        ("ml", map(Type::Str, Type::INT.list(), vec![(Key::Str("x".into()), pair)])),
        ("m0", Value::any_map::<&str>([])),
    ]
}

fn instance(id: &'static str, address: &'static str, port: i64, tags: &'static [&'static str]) -> Value {
    Arc::new(Instance { id, address, port, tags }).into()
}

pub(crate) fn service() -> Value {
    let items = vec![instance("www0", "10.0.0.1", 80, &["a", "b"]), instance("www1", "10.0.0.2", 81, &["c"])];
    Value::list(Type::Named("*main.S".into()), items)
}

pub(crate) fn m() -> Value {
    Value::any_map([
        ("a", Value::int(1)),
        ("b", "x".into()),
        ("f", 2.0.into()),
        ("list", Value::list(Type::Any, vec![Value::int(1), "two".into(), 3.5.into()])),
        ("nil", Value::Nil),
        ("t", true.into()),
        ("z", Value::any_map([("k", "v".into())])),
    ])
}

pub(crate) fn numbered<const N: usize>(entries: [(i64, &str); N]) -> Value {
    let entries: BTreeMap<Key, Value> = entries.into_iter().map(|(key, value)| (Key::Int(key), value.into())).collect();
    Value::map(Type::INT, Type::Str, entries)
}
