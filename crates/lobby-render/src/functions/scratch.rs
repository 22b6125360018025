//! `scratch`: what a template keeps while it is evaluated. Decides its methods; it is new for each evaluation.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use lobby_template::value::{Key, Object};
use lobby_template::{CallError, Func, Str, Type, Value};

use super::arg::{put, shallow};
use super::{Named, text};

/// Most keys, of all maps in it together: far more than people write, far less than memory.
const MAX_KEYS: usize = 100_000;

/// The values as templates reach them. A value may hold this again, so it does not hold the values: they go with the evaluation.
#[derive(Debug)]
struct Scratch(Weak<Mutex<Values>>);

#[derive(Debug, Default)]
struct Values {
    named: BTreeMap<String, Kept>,
    /// Of all together.
    keys: usize,
}

#[derive(Debug)]
struct Kept {
    value: Value,
    /// What it took when it was set: its name, and the keys of a map.
    keys: usize,
}

/// A method with the values locked.
type Method = fn(&mut Values, &[Value]) -> Result<Value, CallError>;

pub(super) fn funcs() -> Vec<Named> {
    let values = Arc::new(Mutex::default());
    let scratch = Arc::new(Scratch(Arc::downgrade(&values)));
    let get = move |_: &[Value]| {
        let _ = &values;
        Ok(scratch.clone().into())
    };
    vec![("scratch", Func::new([], get))]
}

impl Object for Scratch {
    fn type_name(&self) -> &str {
        "*template.Scratch"
    }

    fn field(&self, _name: &str) -> Option<Value> {
        None
    }

    fn fields(&self) -> Vec<(&str, Value)> {
        Vec::new()
    }

    fn method(self: Arc<Self>, name: &str) -> Option<Func> {
        let (params, method): (&[Type], Method) = match name {
            "Key" => (&[Type::Str], |values, args| Ok(values.named.contains_key(&text(args, 0)?).into())),
            "Get" => (&[Type::Str], |values, args| Ok(values.get(&text(args, 0)?).cloned().unwrap_or_default())),
            "Set" => (&[Type::Str, Type::Any], |values, args| set(values, args, true)),
            "SetX" => (&[Type::Str, Type::Any], |values, args| set(values, args, false)),
            "MapSet" => (&[Type::Str, Type::Str, Type::Any], |values, args| map_set(values, args, true)),
            "MapSetX" => (&[Type::Str, Type::Str, Type::Any], |values, args| map_set(values, args, false)),
            "MapValues" => (&[Type::Str], map_values),
            _ => return None,
        };
        Some(Func::new(params, move |args| {
            let values = self.0.upgrade().ok_or("scratch: the evaluation has ended")?;
            method(&mut values.lock().unwrap_or_else(PoisonError::into_inner), args)
        }))
    }
}

/// What setters print.
const NOTHING: &str = "";

impl Values {
    fn get(&self, name: &str) -> Option<&Value> {
        self.named.get(name).map(|kept| &kept.value)
    }

    fn put(&mut self, name: String, value: Value) -> Result<(), CallError> {
        let keys = match &value {
            Value::Map(map) => 1 + map.len(),
            _ => 1,
        };
        let others = self.keys - self.named.get(&name).map_or(0, |kept| kept.keys);
        self.keys = others;
        if others + keys > MAX_KEYS {
            self.named.remove(&name);
            return Err(CallError(format!("scratch: more than {MAX_KEYS} keys")));
        }
        self.keys += keys;
        self.named.insert(name, Kept { value, keys });
        Ok(())
    }
}

fn set(values: &mut Values, args: &[Value], replace: bool) -> Result<Value, CallError> {
    let key = text(args, 0)?;
    if replace || !values.named.contains_key(&key) {
        values.put(key, shallow(args.get(1).cloned().unwrap_or_default())?)?;
    }
    Ok(NOTHING.into())
}

/// Changes the map itself, which others may hold too.
fn map_set(values: &mut Values, args: &[Value], replace: bool) -> Result<Value, CallError> {
    let (name, key) = (text(args, 0)?, Key::Str(Str::from(text(args, 1)?)));
    if !values.named.contains_key(&name) {
        values.put(name.clone(), Value::any_map::<&str>([]))?;
    }
    let is_full = values.keys >= MAX_KEYS;
    let Some(Kept { value: Value::Map(map), keys }) = values.named.get_mut(&name).filter(|kept| is_map(&kept.value)) else {
        return Err(CallError(format!("scratch: \"{name}\" is not a map")));
    };
    let is_new = map.get(&key).is_none();
    if is_new && is_full {
        return Err(CallError(format!("scratch: more than {MAX_KEYS} keys")));
    }
    if replace || is_new {
        put(map, key, args.get(2).cloned().unwrap_or_default())?;
        *keys += usize::from(is_new);
        values.keys += usize::from(is_new);
    }
    Ok(NOTHING.into())
}

/// Whether it is one that can change.
fn is_map(value: &Value) -> bool {
    matches!(value, Value::Map(map) if map.can_change())
}

/// The values of a map in the order of its keys.
fn map_values(values: &mut Values, args: &[Value]) -> Result<Value, CallError> {
    let name = text(args, 0)?;
    match values.get(&name) {
        None => Ok(Value::list(Type::Any, Vec::new())),
        Some(Value::Map(map)) => Ok(Value::list(Type::Any, map.entries().values().cloned().collect())),
        Some(_) => Err(CallError(format!("scratch: \"{name}\" is not a map"))),
    }
}
