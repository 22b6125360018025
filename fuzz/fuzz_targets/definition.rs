//! Any bytes as the body of a registration, of a check and of the catalog's verbs: what is accepted has passed its
//! validators, and what is refused is refused in few words.
//!
//! Not here: what is told to peers (`packet`, `record`).
#![no_main]

use libfuzzer_sys::fuzz_target;
use lobby_core::{
    check::{kind::TEXT_BYTES, spec::ShortIntervals},
    duration,
    port::registry::{CHECKS, NewCheck},
    wire::definition::{self, Context, DefinitionError},
};

fuzz_target!(|bytes: &[u8]| {
    let value = match definition::parse(bytes) {
        Ok(value) => value,
        Err(error) => return assert!(error.to_string().starts_with("Request decode failed")),
    };
    let context = Context { short: ShortIntervals::Raise, peer_pid: Some(1) };
    if let Some(made) = accepted(definition::registration(&value, &context)) {
        assert_eq!(made.instance.validate(), Ok(()));
        assert!(made.checks.len() <= CHECKS);
        for check in &made.checks {
            assert_eq!(check.instance.as_ref(), Some(&made.instance.id));
            is_sound(check);
        }
        if let Some(sidecar) = definition::sidecar(&value, &made) {
            assert_eq!(sidecar.instance.validate(), Ok(()));
            sidecar.checks.iter().for_each(is_sound);
        }
    }
    if let Some(check) = accepted(definition::check(&value, &context)) {
        is_sound(&check);
    }
    if let Some(made) = accepted(definition::catalog_register(&value)) {
        assert!(made.service.is_none_or(|service| service.validate().is_ok()));
        assert!(made.checks.iter().all(|check| check.view.validate().is_ok()) && made.checks.len() <= CHECKS);
    }
    accepted(definition::catalog_deregister(&value));
    accepted(definition::catalog_service(&value));
    accepted(definition::catalog_check(&value));
});

fn accepted<T>(made: Result<T, DefinitionError>) -> Option<T> {
    made.map_err(|error| assert!(error.to_string().len() < 1000, "{error}")).ok()
}

fn is_sound(check: &NewCheck) {
    assert!(!check.name.is_empty() && check.notes.len() <= TEXT_BYTES);
    for span in [check.spec.interval(), check.spec.ttl(), Some(check.spec.timeout()), check.spec.deregister_after()] {
        let Some(span) = span else { continue };
        assert_eq!(duration::parse(&duration::text(span)), Some(span), "what we print we read");
    }
}
