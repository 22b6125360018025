//! Variables as templates see them: those that the runner hands over, and no others.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use lobby_render::{Data, Pass};
use lobby_template::MissingKey;

use super::print;

fn with_variables(template: &str) -> Result<String, String> {
    let env = [("SET", "value"), ("EMPTY", "")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let pass = Pass::new(Data::default(), Arc::new(BTreeMap::from(env)), SystemTime::UNIX_EPOCH);
    print(template, &Arc::new(pass), MissingKey::Zero)
}

#[test]
fn set_to_nothing_counts_as_set() {
    for (template, want) in [
        ("{{env \"SET\"}} [{{env \"EMPTY\"}}] [{{env \"UNSET\"}}]", "value [] []"),
        ("{{envOrDefault \"SET\" \"d\"}} [{{envOrDefault \"EMPTY\" \"d\"}}] {{envOrDefault \"UNSET\" \"d\"}}", "value [] d"),
        ("{{mustEnv \"SET\"}} [{{mustEnv \"EMPTY\"}}]", "value []"),
        ("[{{env \"PATH\"}}]", "[]"),
    ] {
        assert_eq!(with_variables(template).as_deref(), Ok(want), "{template}");
    }
}

#[test]
fn a_variable_that_must_be_there_is_named_when_it_is_not() {
    let error = with_variables("{{mustEnv \"UNSET\"}}").unwrap_err();
    assert!(error.ends_with("environment variable \"UNSET\" is not set"), "{error}");
}
