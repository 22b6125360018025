//! Functions whose answers come from a source. Decides which question each asks, and what it gives while the answer is not
//! there: something empty, and the template is not rendered.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lobby_template::{CallError, Func, Type, Value};

use super::{Named, Pass, text};
use crate::answer::{HealthService, KeyPair};
use crate::object::{NoNode, objects};
use crate::{Answer, Query};

/// A function of one evaluation.
type Body = fn(&Pass, &[Value]) -> Result<Value, CallError>;

pub(super) fn funcs(pass: &Arc<Pass>) -> Vec<Named> {
    let func = |params: &[Type], rest: Option<Type>, body: Body| {
        let pass = pass.clone();
        Func::scoped(params.to_vec(), rest, move |_, args| body(&pass, args))
    };
    let one = |body| func(&[Type::Str], None, body);
    let any = |body| func(&[], Some(Type::Str), body);
    vec![
        ("service", func(&[Type::Str], Some(Type::Str), service)),
        ("services", any(services)),
        ("nodes", any(nodes)),
        ("node", any(node)),
        ("datacenters", func(&[], Some(Type::Bool), datacenters)),
        ("key", one(key)),
        ("keyExists", one(key_exists)),
        ("keyOrDefault", func(&[Type::Str, Type::Str], None, key_or_default)),
        ("ls", one(|pass, args| keys(pass, args, Depth::Children, false))),
        ("safeLs", one(|pass, args| keys(pass, args, Depth::Children, true))),
        ("tree", one(|pass, args| keys(pass, args, Depth::All, false))),
        ("safeTree", one(|pass, args| keys(pass, args, Depth::All, true))),
        ("file", one(file)),
        ("where", one(selected)),
        ("labels", any(labels)),
        ("instances", any(instances)),
    ]
}

fn service(pass: &Pass, args: &[Value]) -> Result<Value, CallError> {
    let texts = args.iter().enumerate().map(|(index, _)| text(args, index)).collect::<Result<Vec<_>, _>>()?;
    let question = texts.join("|");
    if question.is_empty() {
        return Ok(health(&[]));
    }
    match pass.look_up(&Query::service(&question).map_err(refused)?) {
        Some(Answer::Service(instances)) => Ok(health(&instances)),
        _ => Ok(health(&[])),
    }
}

fn health(instances: &[Arc<HealthService>]) -> Value {
    objects("*dependency.HealthService", instances.iter().cloned())
}

fn services(pass: &Pass, args: &[Value]) -> Result<Value, CallError> {
    const NAME: &str = "*dependency.CatalogSnippet";
    match pass.look_up(&Query::services(&text(args, 0)?).map_err(refused)?) {
        Some(Answer::Services(services)) => Ok(objects(NAME, services.iter().cloned().map(Arc::new))),
        _ => Ok(Value::list(Type::Named(NAME.into()), Vec::new())),
    }
}

fn nodes(pass: &Pass, args: &[Value]) -> Result<Value, CallError> {
    const NAME: &str = "*dependency.Node";
    match pass.look_up(&Query::nodes(&text(args, 0)?).map_err(refused)?) {
        Some(Answer::Nodes(nodes)) => Ok(objects(NAME, nodes.iter().cloned().map(Arc::new))),
        _ => Ok(Value::list(Type::Named(NAME.into()), Vec::new())),
    }
}

fn node(pass: &Pass, args: &[Value]) -> Result<Value, CallError> {
    match pass.look_up(&Query::node(&text(args, 0)?).map_err(refused)?) {
        Some(Answer::Node(Some(node))) => Ok(node.into()),
        _ => Ok(Arc::new(NoNode).into()),
    }
}

fn datacenters(pass: &Pass, _args: &[Value]) -> Result<Value, CallError> {
    match pass.look_up(&Query::Datacenters) {
        Some(Answer::Datacenters(names)) => Ok(Value::strings(names.iter().map(String::as_str))),
        _ => Ok(Value::strings::<&str>([])),
    }
}

/// The value of a key that is there. While it is not, the template waits: that is what consul-template does.
fn key(pass: &Pass, args: &[Value]) -> Result<Value, CallError> {
    let path = text(args, 0)?;
    if path.is_empty() {
        return Ok("".into());
    }
    let query = Query::key(&path).map_err(refused)?;
    match pass.look_up(&query) {
        Some(Answer::Key(Some(value))) => Ok(Value::Str(value.into())),
        _ => {
            pass.asked.wait_for(&query);
            Ok("".into())
        }
    }
}

fn key_exists(pass: &Pass, args: &[Value]) -> Result<Value, CallError> {
    let path = text(args, 0)?;
    if path.is_empty() {
        return Ok(false.into());
    }
    let answer = pass.look_up(&Query::key(&path).map_err(refused)?);
    Ok(matches!(answer, Some(Answer::Key(Some(_)))).into())
}

/// What stands in for a key that is absent or empty.
fn key_or_default(pass: &Pass, args: &[Value]) -> Result<Value, CallError> {
    let default = || Ok(args.get(1).cloned().unwrap_or_default());
    let path = text(args, 0)?;
    if path.is_empty() {
        return default();
    }
    match pass.look_up(&Query::key(&path).map_err(refused)?) {
        Some(Answer::Key(Some(value))) if !value.is_empty() => Ok(Value::Str(value.into())),
        _ => default(),
    }
}

/// How deep below the prefix keys may lie.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Children,
    All,
}

/// The keys below a prefix that have a value; `safe`: while there are none, the template waits.
fn keys(pass: &Pass, args: &[Value], depth: Depth, safe: bool) -> Result<Value, CallError> {
    const NAME: &str = "*dependency.KeyPair";
    let prefix = text(args, 0)?;
    let none = || Ok(Value::list(Type::Named(NAME.into()), Vec::new()));
    if prefix.is_empty() && depth == Depth::Children {
        return none();
    }
    let query = Query::keys(&prefix).map_err(refused)?;
    let Some(Answer::Keys(pairs)) = pass.look_up(&query) else { return none() };
    let is_wanted = |pair: &&KeyPair| {
        let is_folder = pair.key.is_empty() || pair.key.ends_with('/');
        !is_folder && (depth == Depth::All || !pair.key.contains('/'))
    };
    let pairs: Vec<_> = pairs.iter().filter(is_wanted).cloned().map(Arc::new).collect();
    if safe && pairs.is_empty() {
        pass.asked.wait_for(&query);
    }
    Ok(objects(NAME, pairs))
}

fn file(pass: &Pass, args: &[Value]) -> Result<Value, CallError> {
    let path = PathBuf::from(text(args, 0)?);
    if path.as_os_str().is_empty() {
        return Ok("".into());
    }
    if let Some(sandbox) = &pass.sandbox {
        stays_in(sandbox, &path)?;
    }
    match pass.look_up(&Query::File(path)) {
        Some(Answer::File(bytes)) => Ok(Value::Str(bytes.into())),
        _ => Ok("".into()),
    }
}

/// Whether a path, with its links followed, is below the sandbox.
fn stays_in(sandbox: &Path, path: &Path) -> Result<(), CallError> {
    let real = |path: &Path| path.canonicalize().map_err(|err| CallError(format!("{}: {err}", path.display())));
    let (sandbox, real) = (real(sandbox)?, real(path)?);
    match real.starts_with(&sandbox) {
        true => Ok(()),
        false => Err(CallError(format!("'{}' is outside of sandbox", path.display()))),
    }
}

/// Lobby's own: the nodes that a selector takes.
fn selected(pass: &Pass, args: &[Value]) -> Result<Value, CallError> {
    const NAME: &str = "*lobby.Node";
    match pass.look_up(&Query::Selected { selector: selector(text(args, 0)?)? }) {
        Some(Answer::Selected(nodes)) => Ok(objects(NAME, nodes.iter().cloned().map(Arc::new))),
        _ => Ok(Value::list(Type::Named(NAME.into()), Vec::new())),
    }
}

/// Lobby's own: the labels of all nodes, or of those that a selector takes; each once.
fn labels(pass: &Pass, args: &[Value]) -> Result<Value, CallError> {
    let answer = pass.look_up(&Query::Selected { selector: selector(text(args, 0)?)? });
    let nodes = match &answer {
        Some(Answer::Selected(nodes)) => &**nodes,
        _ => &[],
    };
    let labels: std::collections::BTreeSet<&str> = nodes.iter().flat_map(|node| &node.labels).map(String::as_str).collect();
    Ok(Value::strings(labels))
}

/// Lobby's own: `instances`, `instances "web"`, `instances "web" "tag=v2 and status=passing"`, `instances "" "selector"`.
fn instances(pass: &Pass, args: &[Value]) -> Result<Value, CallError> {
    if args.len() > 2 {
        return Err(CallError(format!("instances: {} arguments; at most a service and a selector", args.len())));
    }
    let service = Some(text(args, 0)?).filter(|name| !name.is_empty());
    match pass.look_up(&Query::Instances { service, selector: selector(text(args, 1)?)? }) {
        Some(Answer::Instances(instances)) => Ok(health(&instances)),
        _ => Ok(health(&[])),
    }
}

/// A selector that can be read; the empty one takes everything.
fn selector(text: String) -> Result<String, CallError> {
    if !text.is_empty() {
        text.parse::<lobby_core::selector::Selector>().map_err(refused)?;
    }
    Ok(text)
}

fn refused(err: impl std::fmt::Display) -> CallError {
    CallError(err.to_string())
}
