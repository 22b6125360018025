//! `sockaddr`: the addresses of this machine, in the small language of go-sockaddr: `GetAllInterfaces | include "name" "eth0" |
//! attr "address"`. Decides what the words mean; which addresses there are comes from the system, what they are is in `address`.

mod address;

use lobby_template::{CallError, Type, Value};

use super::Named;
use super::arg::{Given, many, text};
use super::regex::pattern;
use address::Address;

/// Most words of one pipeline: nobody writes as many.
const MAX_WORDS: usize = 256;

pub(super) fn funcs() -> Vec<Named> {
    vec![("sockaddr", many(&[], Type::Str, |_, args| sockaddr(args)))]
}

fn sockaddr(args: &[Value]) -> Given {
    let words = (0..args.len()).map(|index| text(args, index)).collect::<Result<Vec<_>, _>>()?.join(" ");
    let all = Address::all().map_err(|err| CallError(format!("sockaddr: {err}")))?;
    Ok(evaluate(&words, &all)?.into())
}

/// What flows through a pipeline.
enum Flow {
    Start,
    Addresses(Vec<Address>),
    Text(String),
}

/// Runs a pipeline over the addresses that there are.
fn evaluate(text: &str, all: &[Address]) -> Result<String, CallError> {
    let mut flow = Flow::Start;
    for command in commands(text)? {
        flow = run(&command, flow, all)?;
    }
    match flow {
        Flow::Start => Err("sockaddr: nothing to evaluate".into()),
        Flow::Text(text) => Ok(text),
        Flow::Addresses(list) => Ok(joined(&list, "string", " ")?),
    }
}

/// Words between bars; strings are in quotes of either kind.
fn commands(text: &str) -> Result<Vec<Vec<String>>, CallError> {
    let (mut commands, mut words, mut rest) = (Vec::new(), Vec::new(), text.trim_start());
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        rest = match c {
            '|' => {
                commands.push(std::mem::take(&mut words));
                after
            }
            '"' | '`' => {
                let Some((word, after)) = after.split_once(c) else { return Err("sockaddr: unterminated quoted string".into()) };
                words.push(word.replace("\\\\", "\\"));
                after
            }
            _ => {
                let end = rest.find(|c: char| c.is_whitespace() || c == '|').unwrap_or(rest.len());
                words.push(rest[..end].to_owned());
                &rest[end..]
            }
        }
        .trim_start();
        if words.len() + commands.len() > MAX_WORDS {
            return Err(CallError(format!("sockaddr: more than {MAX_WORDS} words")));
        }
    }
    commands.push(words);
    Ok(commands)
}

fn run(command: &[String], flow: Flow, all: &[Address]) -> Result<Flow, CallError> {
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    let mut list = match flow {
        Flow::Start => return source(&words, all),
        Flow::Addresses(list) => list,
        Flow::Text(_) => return Err(CallError(format!("sockaddr: {} needs addresses", words.first().unwrap_or(&"nothing")))),
    };
    let count = |text: &str| text.parse::<i64>().map_err(|_| CallError(format!("sockaddr: {text:?} is no number")));
    match words[..] {
        ["include", by, what] => list = selected(list, by, what, true)?,
        ["exclude", by, what] => list = selected(list, by, what, false)?,
        ["sort", by] => sort(&mut list, by)?,
        ["limit", most] => list.truncate(usize::try_from(count(most)?).unwrap_or_default()),
        ["offset", from] => {
            let from = count(from)?;
            // From the end if it is negative.
            let from = if from < 0 { list.len().saturating_sub(from.unsigned_abs() as usize) } else { from as usize };
            list = list.split_off(from.min(list.len()));
        }
        ["unique", by] => {
            let mut seen = std::collections::BTreeSet::new();
            let mut kept = Vec::new();
            for address in list {
                if seen.insert(address.attribute(by)?) {
                    kept.push(address);
                }
            }
            list = kept;
        }
        ["attr", name] => return Ok(Flow::Text(list.first().map_or(Ok(String::new()), |first| first.attribute(name))?)),
        ["join", name, separator] => return Ok(Flow::Text(joined(&list, name, separator)?)),
        _ => return Err(unknown(&words)),
    }
    Ok(Flow::Addresses(list))
}

fn unknown(words: &[&str]) -> CallError {
    CallError(format!(
        "sockaddr: {:?} with {} arguments is not known",
        words.first().unwrap_or(&""),
        words.len().saturating_sub(1)
    ))
}

fn joined(list: &[Address], name: &str, separator: &str) -> Result<String, CallError> {
    Ok(list.iter().map(|address| address.attribute(name)).collect::<Result<Vec<_>, _>>()?.join(separator))
}

/// The word that a pipeline begins with.
fn source(words: &[&str], all: &[Address]) -> Result<Flow, CallError> {
    let sorted = |is_wanted: &dyn Fn(&Address) -> bool| {
        let mut list: Vec<Address> = all.iter().filter(|address| is_wanted(address)).cloned().collect();
        list.sort_by_key(Address::by_kind_and_size);
        list
    };
    let first = |list: Vec<Address>| Flow::Text(list.first().map(|address| address.ip.to_string()).unwrap_or_default());
    let every = |list: Vec<Address>| Ok(Flow::Text(joined(&list, "address", " ")?));
    let private = |address: &Address| address.is_forwardable() && address.is_private();
    let public = |address: &Address| address.is_forwardable() && !address.is_private();
    match words {
        ["GetAllInterfaces"] => Ok(Flow::Addresses(all.to_vec())),
        ["GetDefaultInterfaces"] => {
            let name = address::default_interface();
            Ok(Flow::Addresses(sorted(&|address| Some(&address.name) == name.as_ref())))
        }
        ["GetPrivateInterfaces"] => Ok(Flow::Addresses(sorted(&private))),
        ["GetPublicInterfaces"] => Ok(Flow::Addresses(sorted(&public))),
        ["GetPrivateIP"] => Ok(first(sorted(&private))),
        ["GetPrivateIPs"] => every(sorted(&private)),
        ["GetPublicIP"] => Ok(first(sorted(&public))),
        ["GetPublicIPs"] => every(sorted(&public)),
        ["GetInterfaceIP" | "GetInterfaceIPs", name] => {
            let name = pattern(name)?;
            let list = sorted(&|address| address.is_forwardable() && name.is_match(&address.name));
            if words[0] == "GetInterfaceIP" { Ok(first(list)) } else { every(list) }
        }
        _ => Err(unknown(words)),
    }
}

fn selected(list: Vec<Address>, by: &str, what: &str, wanted: bool) -> Result<Vec<Address>, CallError> {
    let test: Box<dyn Fn(&Address) -> bool> = match by {
        "name" | "address" => {
            let (pattern, is_name) = (pattern(what)?, by == "name");
            Box::new(move |address| match is_name {
                true => pattern.is_match(&address.name),
                false => pattern.is_match(&address.ip.to_string()),
            })
        }
        "type" => match what.to_lowercase().as_str() {
            "ip" => Box::new(|_| true),
            "ipv4" => Box::new(|address| address.ip.is_ipv4()),
            "ipv6" => Box::new(|address| address.ip.is_ipv6()),
            "unix" => Box::new(|_| false),
            _ => return Err(CallError(format!("sockaddr: unsupported type {what:?}"))),
        },
        "flag" | "flags" => {
            let flags = what.split('|').map(|flag| address::flag(flag.trim())).collect::<Result<Vec<_>, _>>()?;
            Box::new(move |address| flags.iter().all(|flag| flag(address)))
        }
        "network" => {
            let nets = what.split('|').map(address::network).collect::<Result<Vec<_>, _>>()?;
            Box::new(move |address| nets.iter().any(|net| address::contains(*net, address.ip)))
        }
        "rfc" => {
            let rfcs = what.split('|').map(address::rfc).collect::<Result<Vec<_>, _>>()?;
            Box::new(move |address| rfcs.iter().any(|rfc| rfc(address)))
        }
        _ => {
            return Err(CallError(format!(
                "sockaddr: {by:?} is nothing to select by; name, address, type, flags, network or rfc"
            )));
        }
    };
    Ok(list.into_iter().filter(|address| test(address) == wanted).collect())
}

/// `"+type,-size"`: the last one matters least.
fn sort(list: &mut [Address], by: &str) -> Result<(), CallError> {
    for key in by.rsplit(',') {
        let (key, is_down) = match key.strip_prefix('-') {
            Some(key) => (key, true),
            None => (key.strip_prefix('+').unwrap_or(key), false),
        };
        let default = address::default_interface();
        let compare = |one: &Address, two: &Address| match key {
            "address" => one.ip.cmp(&two.ip),
            "name" => one.name.cmp(&two.name),
            "type" => one.ip.is_ipv6().cmp(&two.ip.is_ipv6()),
            "size" => two.prefix.cmp(&one.prefix),
            "private" => two.is_private().cmp(&one.is_private()),
            _ => (Some(&two.name) == default.as_ref()).cmp(&(Some(&one.name) == default.as_ref())),
        };
        if !matches!(key, "address" | "name" | "type" | "size" | "private" | "default") {
            return Err(CallError(format!("sockaddr: {key:?} is nothing to sort by")));
        }
        list.sort_by(|one, two| if is_down { compare(two, one) } else { compare(one, two) });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
