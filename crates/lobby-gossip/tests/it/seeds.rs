//! Which seeds a test runs with, and the message that names the one that failed.

use std::collections::VecDeque;

/// A number from the environment.
pub(crate) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// The seeds to run, and one failure message that names the seed.
pub(crate) fn for_each_seed(default: u64, mut run: impl FnMut(u64)) {
    let seeds: VecDeque<u64> = match number("LOBBY_SIM_SEED") {
        Some(seed) => [seed].into(),
        None => (1..=number("LOBBY_SIM_SEEDS").unwrap_or(default)).collect(),
    };
    for seed in seeds {
        let _on_panic = PrintSeed(seed);
        run(seed);
    }
}

struct PrintSeed(u64);

impl Drop for PrintSeed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let test = std::thread::current().name().unwrap_or("").to_owned();
            eprintln!("replay: LOBBY_SIM_SEED={} cargo test -p lobby-gossip --test it {test} -- --exact --nocapture", self.0);
        }
    }
}
