//! consul-template's functions whose products are not served here. Decides which those are, and says so when they are called:
//! a template that does not reach them works.

use lobby_template::{CallError, Func, Type};

use super::Named;

/// Each with what it would need.
const NEEDS: [(&str, &str); 16] = [
    ("secret", "Vault"),
    ("secrets", "Vault"),
    ("pkiCert", "Vault"),
    ("connect", "Consul's service mesh"),
    ("caRoots", "Consul's service mesh"),
    ("caLeaf", "Consul's service mesh"),
    ("partitions", "Consul Enterprise"),
    ("peerings", "Consul's cluster peering"),
    ("exportedServices", "Consul's cluster peering"),
    ("importedServices", "Consul's cluster peering"),
    ("nomadService", "Nomad"),
    ("nomadServices", "Nomad"),
    ("nomadVar", "Nomad"),
    ("nomadVarExists", "Nomad"),
    ("nomadVarList", "Nomad"),
    ("nomadVarListSafe", "Nomad"),
];

/// Those that show a value as Go's memory holds it.
const SPEWS: [&str; 4] = ["spew_dump", "spew_printf", "spew_sdump", "spew_sprintf"];

pub(super) fn funcs() -> Vec<Named> {
    let refuse = |(name, needs): (&'static str, &'static str)| refused(name, format!("{name} needs {needs}; Lobby has it not"));
    let spew = |name| refused(name, format!("Lobby has no {name}; use toJSONPretty or printf \"%#v\""));
    NEEDS.into_iter().map(refuse).chain(SPEWS.into_iter().map(spew)).collect()
}

fn refused(name: &'static str, why: String) -> Named {
    (name, Func::variadic([], Type::Any, move |_| Err(CallError(why.clone()))))
}
