//! `keygen`: prints 32 random bytes in base64, the form of GOSSIP_KEY and EXCHANGE_KEY.

use anyhow::Context;
use base64::{Engine, prelude::BASE64_STANDARD};

use crate::output::{Output, plain};

pub(crate) fn run(out: Output) -> anyhow::Result<()> {
    let mut key = [0; 32];
    getrandom::fill(&mut key).context("the system gives no random bytes")?;
    out.value(&BASE64_STANDARD.encode(key), |key| vec![vec![plain(key)]])
}
