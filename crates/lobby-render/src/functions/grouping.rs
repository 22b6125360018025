//! Functions that group instances and keys, and that nest maps. Decides what is a group's name.

use std::collections::BTreeMap;
use std::sync::Arc;

use lobby_template::format::quote;
use lobby_template::value::{Key, Object};
use lobby_template::{CallError, Str, Type, Value};

use super::Named;
use super::arg::{self, Given, any, entries, of, printf, text, type_name, wrapped};
use super::merge::{self, Wins};

pub(super) fn funcs() -> Vec<Named> {
    const ONE: [Type; 1] = [Type::Any];
    vec![
        ("byTag", of(&ONE, |_, args| by_tag(args))),
        ("byPort", of(&ONE, |_, args| by_port(args))),
        ("byMeta", of(&[Type::Str, Type::Any], |_, args| by_meta(args))),
        ("byKey", of(&ONE, |_, args| by_key(args))),
        ("explode", of(&ONE, |_, args| explode(args).map_err(wrapped("explode")))),
        ("explodeMap", of(&ONE, |_, args| explode_map(args).map_err(wrapped("explodeMap")))),
        ("mergeMap", of(&merge::of_two(), |_, args| merge::all(args, Wins::First))),
        ("mergeMapWithOverride", of(&merge::of_two(), |_, args| merge::all(args, Wins::Second))),
    ]
}

type Entries = BTreeMap<Key, Value>;

/// The objects of an argument that is a list of them; nil is one without any.
fn objects<'v>(name: &str, args: &'v [Value], index: usize) -> Result<Vec<&'v Arc<dyn Object>>, CallError> {
    let wrong = || CallError(format!("{name}: wrong argument type {}", type_name(any(args, index))));
    let items = match any(args, index) {
        Value::Nil => &[],
        Value::List(list) if matches!(list.element, Type::Named(_) | Type::Any) => &list.items[..],
        _ => return Err(wrong()),
    };
    let object = |item: &'v Value| match item {
        Value::Object(object) => Ok(object),
        _ => Err(wrong()),
    };
    items.iter().map(object).collect()
}

/// The text of a field; None: it has none of that name.
fn field(object: &dyn Object, name: &str) -> Option<String> {
    match object.field(name)? {
        Value::Str(text) => Some(text.to_text().into_owned()),
        _ => None,
    }
}

/// Groups as a map from keys to lists.
fn groups(key: Type, groups: BTreeMap<Key, Vec<Value>>) -> Value {
    let element = Type::Any.list();
    let groups = groups.into_iter().map(|(key, items)| (key, Value::list(Type::Any, items)));
    Value::map(key, element, groups.collect())
}

fn by_tag(args: &[Value]) -> Given {
    let mut found: BTreeMap<Key, Vec<Value>> = BTreeMap::new();
    for object in objects("byTag", args, 0)? {
        let Some(Value::List(tags)) = object.field("Tags").or_else(|| object.field("ServiceTags")) else {
            return Err(CallError(format!("byTag: wrong argument type {}", type_name(any(args, 0)))));
        };
        for tag in &tags.items {
            if let Value::Str(tag) = tag {
                found.entry(Key::Str(tag.clone())).or_default().push(Value::Object(object.clone()));
            }
        }
    }
    Ok(groups(Type::Str, found))
}

fn by_port(args: &[Value]) -> Given {
    let mut found: BTreeMap<Key, Vec<Value>> = BTreeMap::new();
    for object in objects("byPort", args, 0)? {
        let Some(Value::Int(port, _)) = object.field("Port").or_else(|| object.field("ServicePort")) else {
            return Err(CallError(format!("byPort: wrong argument type {}", type_name(any(args, 0)))));
        };
        found.entry(Key::Int(port)).or_default().push(Value::Object(object.clone()));
    }
    Ok(groups(Type::INT, found))
}

/// `byMeta "zone,rack|int"`: the values of these keys, with `_` between them.
fn by_meta(args: &[Value]) -> Given {
    let names = text(args, 0)?;
    let mut found: BTreeMap<Key, Vec<Value>> = BTreeMap::new();
    for object in objects("byMeta", args, 1)? {
        let Some(Value::Map(meta)) = object.field("ServiceMeta") else {
            return Err(CallError(format!("byMeta: wrong argument type {}", type_name(any(args, 1)))));
        };
        let mut parts = Vec::new();
        for name in names.split(',') {
            let (name, is_number) = name.strip_suffix("|int").map_or((name, false), |name| (name, true));
            let value = match meta.get_str(name) {
                Some(Value::Str(value)) if !value.is_empty() => value.to_text().into_owned(),
                _ if is_number => "0".into(),
                _ => format!("_no_{name}_"),
            };
            let value = match is_number {
                true => format!("{:05}", whole(&value)?),
                false => value,
            };
            parts.push(value.replace(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'), "_"));
        }
        found.entry(Key::Str(parts.join("_").into())).or_default().push(Value::Object(object.clone()));
    }
    Ok(groups(Type::Str, found))
}

fn whole(text: &str) -> Result<i64, CallError> {
    text.parse().map_err(|_| {
        let quoted = quote(text.as_bytes());
        CallError(format!("cannot parse {text} as number : strconv.Atoi: parsing {quoted}: invalid syntax"))
    })
}

/// A key whose name is what follows its folder.
#[derive(Debug)]
struct Renamed {
    type_name: String,
    fields: Vec<(String, Value)>,
}

impl Renamed {
    fn new(pair: &dyn Object, key: &str) -> Self {
        let fields =
            pair.fields().into_iter().map(|(name, value)| (name.to_owned(), if name == "Key" { key.into() } else { value }));
        Self { type_name: pair.type_name().into(), fields: fields.collect() }
    }
}

impl Object for Renamed {
    fn type_name(&self) -> &str {
        &self.type_name
    }

    fn field(&self, name: &str) -> Option<Value> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }

    fn fields(&self) -> Vec<(&str, Value)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.clone())).collect()
    }
}

/// Keys by their first folder and then by the rest of their names.
fn by_key(args: &[Value]) -> Given {
    let mut found: BTreeMap<String, Entries> = BTreeMap::new();
    let mut element = Type::Any;
    for pair in objects("byKey", args, 0)? {
        let key = key_of("byKey", &**pair, args)?;
        if let Some((top, rest)) = key.split_once('/').filter(|(_, rest)| !rest.is_empty()) {
            element = Type::Named(pair.type_name().into());
            let renamed = Value::from(Arc::new(Renamed::new(&**pair, rest)));
            found.entry(top.into()).or_default().insert(Key::Str(rest.into()), renamed);
        }
    }
    let inner = |entries| Value::map(Type::Str, element.clone(), entries);
    let found = found.into_iter().map(|(top, entries)| (Key::Str(top.into()), inner(entries)));
    Ok(Value::map(Type::Str, element.clone().string_map(), found.collect()))
}

fn key_of(name: &str, pair: &dyn Object, args: &[Value]) -> Result<String, CallError> {
    field(pair, "Key").ok_or_else(|| CallError(format!("{name}: wrong argument type {}", type_name(any(args, 0)))))
}

/// Names with slashes as maps in maps.
#[derive(Debug)]
enum Tree {
    Leaf(Value),
    Branch(BTreeMap<Str, Tree>),
}

fn explode(args: &[Value]) -> Given {
    let mut tree = BTreeMap::new();
    for pair in objects("explode", args, 0)? {
        let key = key_of("explode", &**pair, args)?;
        insert(&mut tree, &key, pair.field("Value").unwrap_or_default())?;
    }
    arg::shallow(nested(tree))
}

fn explode_map(args: &[Value]) -> Given {
    let mut tree = BTreeMap::new();
    for (key, value) in entries(args, 0)?.iter() {
        if let Key::Str(key) = key {
            insert(&mut tree, &key.to_text(), value.clone())?;
        }
    }
    arg::shallow(nested(tree))
}

fn insert(tree: &mut BTreeMap<Str, Tree>, key: &str, value: Value) -> Result<(), CallError> {
    if key.matches('/').count() >= arg::MAX_DEPTH as usize {
        return Err(CallError(format!("nested deeper than {}", arg::MAX_DEPTH)));
    }
    let (mut branch, mut rest) = (tree, key);
    while let Some((top, below)) = rest.split_once('/') {
        let next = branch.entry(top.into()).or_insert_with(|| Tree::Branch(BTreeMap::new()));
        opened(next);
        branch = match next {
            Tree::Branch(branch) => branch,
            Tree::Leaf(old) => {
                let (whole, top) = (quote(rest.as_bytes()), quote(top.as_bytes()));
                return Err(CallError(format!(
                    "not a map: {whole}: {top} already has value {}",
                    printf("%q", std::slice::from_ref(old))
                )));
            }
        };
        rest = below;
    }
    if !rest.is_empty() {
        branch.insert(rest.into(), Tree::Leaf(value));
    }
    Ok(())
}

/// A map that was a value is a branch as well.
fn opened(tree: &mut Tree) {
    if let Tree::Leaf(Value::Map(map)) = tree
        && map.key == Type::Str
    {
        let text = |key: &Key| match key {
            Key::Str(key) => key.clone(),
            _ => "".into(),
        };
        let branch = map.entries().iter().map(|(key, value)| (text(key), Tree::Leaf(value.clone()))).collect();
        *tree = Tree::Branch(branch);
    }
}

fn nested(tree: BTreeMap<Str, Tree>) -> Value {
    Value::any_map(tree.into_iter().map(|(key, tree)| match tree {
        Tree::Leaf(value) => (key, value),
        Tree::Branch(branch) => (key, nested(branch)),
    }))
}
