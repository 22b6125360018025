//! `scratch`: what a template keeps while it is evaluated. Decides its methods; it is new for each evaluation.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use lobby_template::value::{Key, Object};
use lobby_template::{CallError, Func, Str, Type, Value};

use super::arg::shallow;
use super::{Named, text};

/// Most keys, of all maps in it together: far more than people write, far less than memory.
const MAX_KEYS: usize = 100_000;

/// Named values.
#[derive(Debug, Default)]
struct Scratch(Mutex<Values>);

#[derive(Debug, Default)]
struct Values {
    named: BTreeMap<String, Value>,
    /// Names, and keys of the maps among the values.
    keys: usize,
}

/// A method with the values locked.
type Method = fn(&mut Values, &[Value]) -> Result<Value, CallError>;

pub(super) fn funcs() -> Vec<Named> {
    let scratch = Arc::new(Scratch::default());
    vec![("scratch", Func::new([], move |_| Ok(scratch.clone().into())))]
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
            "Get" => (&[Type::Str], |values, args| Ok(values.named.get(&text(args, 0)?).cloned().unwrap_or_default())),
            "Set" => (&[Type::Str, Type::Any], |values, args| set(values, args, true)),
            "SetX" => (&[Type::Str, Type::Any], |values, args| set(values, args, false)),
            "MapSet" => (&[Type::Str, Type::Str, Type::Any], |values, args| map_set(values, args, true)),
            "MapSetX" => (&[Type::Str, Type::Str, Type::Any], |values, args| map_set(values, args, false)),
            "MapValues" => (&[Type::Str], map_values),
            _ => return None,
        };
        Some(Func::new(params, move |args| method(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner), args)))
    }
}

/// What setters print.
const NOTHING: &str = "";

impl Values {
    fn take(&mut self, name: &str) -> Option<Value> {
        let value = self.named.remove(name)?;
        self.keys -= keys(&value);
        Some(value)
    }

    /// Under a name that is free.
    fn put(&mut self, name: String, value: Value) -> Result<(), CallError> {
        if self.keys + keys(&value) > MAX_KEYS {
            return Err(CallError(format!("scratch: more than {MAX_KEYS} keys")));
        }
        self.keys += keys(&value);
        self.named.insert(name, value);
        Ok(())
    }
}

/// How many keys a value takes, with its name.
fn keys(value: &Value) -> usize {
    match value {
        Value::Map(map) => 1 + map.entries.len(),
        _ => 1,
    }
}

fn set(values: &mut Values, args: &[Value], replace: bool) -> Result<Value, CallError> {
    let key = text(args, 0)?;
    let value = shallow(args.get(1).cloned().unwrap_or_default())?;
    if replace || !values.named.contains_key(&key) {
        values.take(&key);
        values.put(key, value)?;
    }
    Ok(NOTHING.into())
}

fn map_set(values: &mut Values, args: &[Value], replace: bool) -> Result<Value, CallError> {
    let (name, key) = (text(args, 0)?, Key::Str(Str::from(text(args, 1)?)));
    let value = shallow(args.get(2).cloned().unwrap_or_default())?;
    // Taken out, so that it is not copied to be changed.
    let mut map = match values.take(&name) {
        None => BTreeMap::new(),
        Some(Value::Map(map)) => {
            Arc::try_unwrap(map).map_or_else(|map| map.entries.clone(), |mut map| std::mem::take(&mut map.entries))
        }
        Some(other) => {
            values.put(name.clone(), other)?;
            return Err(CallError(format!("scratch: \"{name}\" is not a map")));
        }
    };
    if replace || !map.contains_key(&key) {
        map.insert(key, value);
    }
    values.put(name, Value::map(Type::Str, Type::Any, map))?;
    Ok(NOTHING.into())
}

/// The values of a map in the order of its keys.
fn map_values(values: &mut Values, args: &[Value]) -> Result<Value, CallError> {
    let name = text(args, 0)?;
    match values.named.get(&name) {
        None => Ok(Value::list(Type::Any, Vec::new())),
        Some(Value::Map(map)) => Ok(Value::list(Type::Any, map.entries.values().cloned().collect())),
        Some(_) => Err(CallError(format!("scratch: \"{name}\" is not a map"))),
    }
}
