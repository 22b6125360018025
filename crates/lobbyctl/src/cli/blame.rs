//! What is told of arguments that are wrong. Decides that a variable is blamed for what it says: clap names the option that it stands
//! behind, and whoever set `PORT` has typed no `--port`.

use clap::{
    CommandFactory as _,
    error::{ContextKind, ContextValue},
};

use super::Cli;

/// What clap says of an error, with the variable that was meant.
pub(crate) fn said(err: &clap::Error) -> String {
    said_by(err, std::env::args(), |name| std::env::var(name).ok())
}

fn said_by(err: &clap::Error, mut args: impl Iterator<Item = String>, env: impl Fn(&str) -> Option<String>) -> String {
    let text = err.to_string();
    let context = |kind| match err.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let (Some(option), Some(value)) = (context(ContextKind::InvalidArg), context(ContextKind::InvalidValue)) else { return text };
    let name = option.split([' ', '=']).next().unwrap_or_default();
    let command = Cli::command();
    let of_option = command.get_arguments().find(|arg| arg.get_long().is_some_and(|long| format!("--{long}") == name));
    let variable = of_option.and_then(|arg| arg.get_env()?.to_str()).filter(|name| env(name).as_deref() == Some(value));
    let is_typed = args.any(|arg| arg.trim_start_matches('-').split('=').next() == Some(name.trim_start_matches('-')));
    match variable.filter(|_| !is_typed) {
        Some(variable) => text.replace(&format!("'{option}'"), &format!("the variable {variable}")),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_blamed_for_what_it_says_and_an_option_for_what_was_typed() {
        let err = |words: &[&str]| super::super::parse(words.iter().map(Into::into)).unwrap_err();
        let env = |name: &str| (name == "PORT").then(|| "x".to_owned());
        let said = |words: &[&str]| said_by(&err(words), words.iter().map(|word| (*word).to_owned()), env);
        let typed = ["lobbyctl", "--port", "x", "nodes"];
        assert!(said(&typed).contains("for '--port <PORT>'"), "{}", said(&typed));
        let of_variable = said_by(&err(&typed), ["lobbyctl".to_owned(), "nodes".to_owned()].into_iter(), env);
        assert!(of_variable.contains("for the variable PORT"), "{of_variable}");
    }
}
