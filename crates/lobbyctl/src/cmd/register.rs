//! `register`: registers an instance at the daemon, of what is typed or of a file, or replaces it and its checks.
//!
//! Of several in one file those before the first that is refused stay.

use anyhow::Context;
use lobby::client::Client;

use crate::{cli::service::Register, definition::Definition, input, output::Output};

pub(crate) async fn run(client: &Client, register: &Register, out: Output) -> anyhow::Result<()> {
    let definitions = match (&register.file, &register.name) {
        (Some(file), _) => Definition::of_text(&input::definition(file)?)?,
        (None, name) => {
            let name = name.as_deref().context("no name is given")?;
            vec![Definition::typed(name, name, &register.offer)?]
        }
    };
    for Definition { name, id, body } in &definitions {
        client.register(name, id, body).await?;
    }
    let ids: Vec<_> = definitions.iter().map(|it| it.id.as_str()).collect();
    out.done(&format!("registered {}", ids.join(", ")))
}
