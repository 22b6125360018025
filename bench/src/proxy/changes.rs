//! What is changed under load: the same for each way, with the same seed.

use std::time::Duration;

use super::{
    DEPLOYS, DRAIN, SWAPS,
    stage::{Backend, Stage, Structure},
};
use crate::{
    host::{now, sleep_until},
    random::Random,
};

/// Changes of one round, as the issue has them for twenty.
const RANDOM_A_ROUND: u32 = 10;

/// Structural ones of two rounds.
const STRUCTURAL_OF_TWO: u32 = 3;

/// Between two random changes: faster than a person, slower than a burst, so that few fall together.
const PACE: Duration = Duration::from_millis(60);

/// At least so many take requests.
const LEAST: usize = 2;

#[derive(Clone, Copy, PartialEq)]
enum State {
    Away,
    There,
    Drains,
}

/// Registrations, deregistrations, weights and drains.
pub(super) fn random(stage: &Stage, backends: &mut [Backend], rounds: u32) -> usize {
    let mut random = Random(6);
    let mut states = vec![State::There; backends.len()];
    for _ in 0..rounds * RANDOM_A_ROUND {
        let n_there = states.iter().filter(|state| **state == State::There).count();
        let idx = random.below(backends.len());
        let (backend, state) = (&backends[idx], &mut states[idx]);
        let may_go = n_there > LEAST;
        match (*state, random.below(3)) {
            (State::Away, _) => {
                stage.register(backend, 1);
                *state = State::There;
            }
            (State::Drains, 0) => {
                stage.drain(backend, false);
                stage.deregister(backend);
                *state = State::Away;
            }
            (State::Drains, _) => {
                stage.drain(backend, false);
                *state = State::There;
            }
            (State::There, 0) if may_go => {
                stage.deregister(backend);
                *state = State::Away;
            }
            (State::There, 1) if may_go => {
                stage.drain(backend, true);
                *state = State::Drains;
            }
            (State::There, _) => stage.register(backend, 1 + random.below(3) as u32),
        }
        sleep_until(now() + PACE);
    }
    let there = backends.iter().zip(&states).filter(|(_, state)| **state == State::There);
    stage.serves(&there.map(|(backend, _)| backend.name.as_str()).collect::<Vec<_>>());
    (rounds * RANDOM_A_ROUND) as usize
}

/// A line of the frontend changes; each second time a service comes or goes.
pub(super) fn structural(stage: &Stage, _backends: &mut [Backend], rounds: u32) -> usize {
    let changes = rounds * STRUCTURAL_OF_TWO / 2;
    for mark in 1..=changes {
        stage.restructure(Structure { mark, has_more: mark % 4 < 2, redispatch: true, backup: None });
    }
    changes as usize
}

/// Each backend is replaced by a new one: register, drain the old one, end it.
pub(super) fn rolling(stage: &Stage, backends: &mut [Backend], _rounds: u32) -> usize {
    for deploy in 0..DEPLOYS {
        for (idx, backend) in backends.iter_mut().enumerate() {
            let next = Backend::start(&format!("v{deploy}-{idx}"));
            stage.register(&next, 1);
            let mut before = std::mem::replace(backend, next);
            sleep_until(now() + PACE);
            stage.drain(&before, true);
            sleep_until(now() + DRAIN);
            before.kill();
        }
        stage.serves(&backends.iter().map(|backend| backend.name.as_str()).collect::<Vec<_>>());
    }
    DEPLOYS * backends.len()
}

/// Two versions on one host, on two ports: the next one starts on the other port, a label makes it primary, the old one ends.
pub(super) fn swaps(stage: &Stage, backends: &mut [Backend], _rounds: u32) -> usize {
    let (registered, backup) = (backends[0].address.port(), stage.backup());
    let label = |port: u16| format!("deploy:web:primary:{port}");
    // The registration stays: it is the place that is known, not what runs there.
    for swap in 0..SWAPS {
        let (port, other) = if swap % 2 == 0 { (backup, registered) } else { (registered, backup) };
        let next = Backend::start_at(&format!("v{swap}"), port);
        // Until checks have seen it.
        sleep_until(now() + DRAIN);
        stage.label("POST", &label(port));
        stage.label("DELETE", &label(other));
        stage.serves(&[&next.name]);
        sleep_until(now() + DRAIN);
        // Dropped, the one before ends.
        backends[0] = next;
    }
    SWAPS
}
