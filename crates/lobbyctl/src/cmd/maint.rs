//! `maint on|off [ID]`: takes an instance of the daemon's node, or all of the node, out, or back in.

use lobby::client::Client;

use crate::{
    cli::service::{Maint, Switch},
    output::Output,
};

pub(crate) async fn run(client: &Client, maint: &Maint, out: Output) -> anyhow::Result<()> {
    let on = maint.switch == Switch::On;
    client.maintain(maint.id.as_deref(), on, &maint.reason).await?;
    let what = maint.id.as_deref().unwrap_or("this node");
    out.done(&format!("{what}: maintenance {}", if on { "on" } else { "off" }))
}
