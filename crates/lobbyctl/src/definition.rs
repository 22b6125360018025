//! Definitions of instances: of what was typed, or of a file.
//!
//! ```text
//! --name --port --check …  ─┐
//! FILE (JSON, TOML)        ─┴─► Definition ─► PUT /v1/services/:name/:id
//! ```
//! The daemon validates what is in there; here only as much is looked at as finds the name and the id.
//! Not here: the grammar of `--check` (`check`).

use lobby::core::instance::Id;
use serde_json::{Map, Value, json};

use crate::{cli::service::Offer, failure::usage};

mod check;

pub(crate) use self::check::Check;

/// An instance that can be registered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Definition {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) body: Value,
}

impl Definition {
    /// That of what was typed; `id` unless one was.
    pub(crate) fn typed(name: &str, id: &str, offer: &Offer) -> anyhow::Result<Self> {
        let id = offer.id.as_deref().unwrap_or(id);
        judge("--name", name)?;
        judge("--id", id)?;
        let mut body = Map::new();
        body.insert("Name".into(), name.into());
        body.insert("ID".into(), id.into());
        if let Some(port) = offer.port {
            body.insert("Port".into(), port.into());
        }
        if let Some(address) = &offer.address {
            body.insert("Address".into(), address.as_str().into());
        }
        if !offer.tag.is_empty() {
            body.insert("Tags".into(), json!(offer.tag));
        }
        if !offer.meta.is_empty() {
            let pairs = offer.meta.iter().map(|(key, value)| (key.clone(), value.as_str().into()));
            body.insert("Meta".into(), Value::Object(pairs.collect()));
        }
        if !offer.check.is_empty() {
            let checks = offer.check.iter().map(|check| check.body(offer.port).map_err(usage));
            body.insert("Checks".into(), Value::Array(checks.collect::<Result<_, _>>()?));
        }
        Ok(Self { name: name.to_owned(), id: id.to_owned(), body: Value::Object(body) })
    }

    /// Those of a file. It is JSON if it begins with an object or a list of objects, as TOML cannot.
    pub(crate) fn of_text(text: &str) -> anyhow::Result<Vec<Self>> {
        let start = text.trim_start();
        let is_json = start.strip_prefix('[').map_or(start, str::trim_start).starts_with(['{', ']']);
        let whole: Value = match is_json {
            true => serde_json::from_str(text).map_err(|err| usage(format!("the definition is no JSON: {err}")))?,
            false => toml::from_str(text).map_err(|err| usage(format!("the definition is no TOML: {err}")))?,
        };
        let inner = match field(&whole, "services").or_else(|| field(&whole, "service")) {
            Some(inner @ (Value::Object(_) | Value::Array(_))) => inner,
            _ => &whole,
        };
        match inner {
            Value::Array(list) if list.is_empty() => Err(usage("the definition has no service".into())),
            Value::Array(list) => list.iter().map(Self::of_value).collect(),
            one => Ok(vec![Self::of_value(one)?]),
        }
    }

    fn of_value(body: &Value) -> anyhow::Result<Self> {
        let text = |name| field(body, name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let name = text("name").ok_or_else(|| usage("the definition has no name: expected a text in `name`".into()))?;
        let id = text("id").unwrap_or(name);
        judge("name", name)?;
        judge("id", id)?;
        Ok(Self { name: name.to_owned(), id: id.to_owned(), body: body.clone() })
    }

    /// Adds a check to those that it has.
    pub(crate) fn push_check(&mut self, check: Value) {
        if let Value::Object(body) = &mut self.body
            && let Value::Array(checks) = body.entry("Checks").or_insert_with(|| json!([]))
        {
            checks.push(check);
        }
    }
}

/// Refuses by its name here what the daemon would know as a part of the path.
fn judge(field: &str, text: &str) -> anyhow::Result<()> {
    text.parse::<Id>().map(drop).map_err(|err| usage(format!("{field}: {err}")))
}

/// A field by its name as the daemon finds it: in whatever case, with or without `_`.
fn field<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let same = |key: &str| key.replace('_', "").eq_ignore_ascii_case(name);
    value.as_object()?.iter().find(|(key, _)| same(key)).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<(String, String)> {
        Definition::of_text(text).unwrap().into_iter().map(|it| (it.name, it.id)).collect()
    }

    #[test]
    fn a_file_is_json_or_toml_and_one_or_many() {
        let web = ("web".to_owned(), "web".to_owned());
        let one = ("web".to_owned(), "web-1".to_owned());
        for (text, want) in [
            (r#"{"Name": "web"}"#, vec![web.clone()]),
            ("\n {\"service\": {\"name\": \"web\", \"ID\": \"web-1\"}}", vec![one.clone()]),
            (r#"[{"name": "web"}, {"name": "web", "id": "web-1"}]"#, vec![web.clone(), one.clone()]),
            ("name = \"web\"\nport = 8080\n", vec![web.clone()]),
            ("[service]\nname = 'web'\nid = 'web-1'\n[[service.checks]]\ntcp = 'localhost:1'\n", vec![one.clone()]),
            ("[[services]]\nname = 'web'\n[[services]]\nname = 'web'\nid = 'web-1'\n", vec![web, one]),
        ] {
            assert_eq!(names(text), want, "{text}");
        }
        for text in ["", "{", "name = ", "[]", "[ ]", "port = 1", "{\"name\": 7}", "[1]", "[[services]]\nid = 'x'"] {
            assert!(Definition::of_text(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_or_id_that_none_can_have_is_refused_by_its_field() {
        let long = "x".repeat(257);
        let typed = |name: &str, id: &str| {
            let offer = Offer { id: Some(id.into()), ..Offer::default() };
            Definition::typed(name, name, &offer).unwrap_err().to_string()
        };
        assert!(typed("", "a").starts_with("--name: an id must not be empty"), "{}", typed("", "a"));
        assert!(typed("web", &long).starts_with("--id: an id may have at most 256 bytes"), "{}", typed("web", &long));
        let file = Definition::of_text(r#"{"name": "web", "id": "a\u0000b"}"#).unwrap_err().to_string();
        assert!(file.starts_with("id: an id must not contain the control character"), "{file}");
    }

    #[test]
    fn what_is_typed_becomes_what_consul_calls_it() {
        let offer = Offer {
            id: Some("web-1".into()),
            port: Some(8080),
            address: Some("10.0.0.1".into()),
            tag: vec!["a".into(), "b".into()],
            meta: vec![("k".into(), "v".into())],
            check: vec!["tcp".parse().unwrap()],
        };
        let mut definition = Definition::typed("web", "web", &offer).unwrap();
        definition.push_check(json!({ "PID": 7 }));
        let want = json!({
            "Name": "web", "ID": "web-1", "Port": 8080, "Address": "10.0.0.1", "Tags": ["a", "b"], "Meta": {"k": "v"},
            "Checks": [{"TCP": "127.0.0.1:8080", "Interval": "1s"}, {"PID": 7}],
        });
        assert_eq!(definition.body, want);
        let mut bare = Definition::typed("web", "web", &Offer::default()).unwrap();
        assert_eq!((bare.id.as_str(), &bare.body), ("web", &json!({"Name": "web", "ID": "web"})));
        bare.push_check(json!({ "PID": 7 }));
        assert_eq!(bare.body["Checks"], json!([{ "PID": 7 }]));
    }
}
