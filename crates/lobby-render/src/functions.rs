//! The functions that templates call beyond those of the language. Decides what one evaluation shares, and which functions are
//! refused; what they do is in the modules by where their answers come from.

mod act;
mod arg;
mod encode;
mod environment;
mod grouping;
mod json;
mod lists;
mod math;
mod merge;
mod number;
mod owner;
mod programs;
mod regex;
mod scratch;
mod sockaddr;
mod source;
mod spew;
mod sprig;
mod strings;
mod time;
mod toml;
mod unavailable;
mod yaml;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use lobby_template::{CallError, Func, Funcs, Value};

pub(crate) use self::programs::EndWith;
pub use self::programs::Programs;
use crate::command::Surroundings;
use crate::glob::Globs;
use crate::{Answer, Asked, Data, Query};

/// What the functions of one evaluation share.
#[derive(Debug)]
pub struct Pass {
    /// The answers that have arrived.
    pub data: Data,
    /// What this evaluation asks.
    pub asked: Asked,
    /// The variables that `env` sees.
    pub env: Arc<BTreeMap<String, String>>,
    /// What `timestamp` tells.
    pub now: SystemTime,
    /// Whether anything asked for the time: what it prints differs each time for no reason.
    pub saw_time: AtomicBool,
    /// `file` stays below this folder.
    pub sandbox: Option<PathBuf>,
    /// Functions that fail when they are called.
    pub denied: Globs,
    /// Whether functions may write files: not in a trial run. What they run makes text only.
    pub may_act: bool,
    /// What programs that functions run find around them.
    pub around: Surroundings,
    /// Those of them that run.
    pub programs: Arc<Programs>,
}

impl Pass {
    /// An evaluation with these answers, and with nothing forbidden.
    pub fn new(data: Data, env: Arc<BTreeMap<String, String>>, now: SystemTime) -> Self {
        let (asked, saw_time) = (Asked::default(), AtomicBool::new(false));
        Self {
            data,
            asked,
            env,
            now,
            saw_time,
            sandbox: None,
            denied: Globs::default(),
            may_act: true,
            around: Surroundings::default(),
            programs: Arc::default(),
        }
    }

    /// The answer to a question; None: not yet.
    fn look_up(&self, query: &Query) -> Option<Answer> {
        self.asked.look_up(&self.data, query)
    }

    /// The time of this evaluation.
    pub(crate) fn time(&self) -> SystemTime {
        self.saw_time.store(true, Ordering::Relaxed);
        self.now
    }
}

/// All functions, for one evaluation.
pub fn funcs(pass: &Arc<Pass>) -> Funcs {
    let allowed = |(name, func): Named| match pass.denied.take(name) {
        true => (name, Func::variadic([], lobby_template::Type::Any, |_| Err("function is disabled".into()))),
        false => (name, func),
    };
    named(pass).into_iter().map(allowed).collect()
}

/// The names of all functions.
pub(crate) fn names() -> Vec<&'static str> {
    named(&Arc::new(Pass::new(Data::default(), Arc::default(), SystemTime::UNIX_EPOCH)))
        .into_iter()
        .map(|(name, _)| name)
        .collect()
}

fn named(pass: &Arc<Pass>) -> Vec<Named> {
    let mut all = Vec::new();
    all.extend(source::funcs(pass));
    all.extend(environment::funcs(pass));
    all.extend(scratch::funcs());
    all.extend(unavailable::funcs());
    all.extend(lists::funcs());
    all.extend(grouping::funcs());
    all.extend(strings::funcs());
    all.extend(regex::funcs());
    all.extend(encode::funcs());
    all.extend(number::funcs());
    all.extend(math::funcs());
    all.extend(json::funcs());
    all.extend(yaml::funcs());
    all.extend(toml::funcs());
    all.extend(sockaddr::funcs());
    all.extend(sprig::funcs());
    all.extend(spew::funcs());
    all.extend(time::funcs(pass));
    all.extend(act::funcs(pass));
    let others = sprig::others(&all);
    all.extend(others);
    all
}

/// A named function.
type Named = (&'static str, Func);

/// The text of an argument that the signature says is one.
fn text(args: &[Value], index: usize) -> Result<String, CallError> {
    match args.get(index) {
        Some(Value::Str(text)) => Ok(text.to_text().into_owned()),
        Some(other) => Err(CallError(format!("expected a string; got {}", lobby_template::format::value(other)))),
        None => Ok(String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_there_once_and_every_other_name_is_that_of_a_function() {
        let pass = Pass::new(Data::default(), Arc::default(), SystemTime::UNIX_EPOCH);
        let names: Vec<_> = named(&Arc::new(pass)).into_iter().map(|(name, _)| name).collect();
        let unique: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(unique.len(), names.len());
        for (other, name) in sprig::OTHER_NAMES {
            assert!(unique.contains(other) && unique.contains(name), "{other} is {name}");
        }
    }

    #[test]
    fn all_that_sprig_has_without_clock_chance_and_environment_is_known() {
        let names = include_str!("../tests/fixtures/sprig_names.txt");
        let funcs = funcs(&Arc::new(Pass::new(Data::default(), Arc::default(), SystemTime::UNIX_EPOCH)));
        let missing: Vec<_> = names.lines().filter(|name| funcs.get(&format!("sprig_{name}")).is_none()).collect();
        assert!(names.lines().count() > 190 && missing.is_empty(), "{missing:?}");
    }
}
