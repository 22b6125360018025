//! Which seeds a test runs with, and the message that names the one that failed.

use std::collections::VecDeque;

/// The seeds to run, and one failure message that names the seed.
pub(crate) fn for_each_seed(default: u64, run: impl Fn(u64)) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
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
            eprintln!("failed with LOBBY_SIM_SEED={}", self.0);
        }
    }
}
