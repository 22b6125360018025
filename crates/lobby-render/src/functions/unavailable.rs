//! consul-template's functions whose products are not served here, and sprig's that do not belong into files. Decides which those
//! are, and says so when they are called: a template that does not reach them works.

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

/// Those of sprig that make secrets or certificates, or need chance, each time another one: a file must not change for that.
const SECRETS: [&str; 14] = [
    "sprig_bcrypt",
    "sprig_htpasswd",
    "sprig_derivePassword",
    "sprig_encryptAES",
    "sprig_decryptAES",
    "sprig_buildCustomCert",
    "sprig_genPrivateKey",
    "sprig_genCA",
    "sprig_genCAWithKey",
    "sprig_genSelfSignedCert",
    "sprig_genSelfSignedCertWithKey",
    "sprig_genSignedCert",
    "sprig_genSignedCertWithKey",
    "sprig_randInt",
];

/// Those of sprig with moments as values.
const MOMENTS: [&str; 6] =
    ["sprig_ago", "sprig_toDate", "sprig_mustToDate", "sprig_unixEpoch", "sprig_mustDateModify", "sprig_must_date_modify"];

pub(super) fn funcs() -> Vec<Named> {
    let refuse = |(name, needs): (&'static str, &'static str)| refused(name, format!("{name} needs {needs}; Lobby has it not"));
    let secret = |name| refused(name, format!("Lobby has no {name}: templates make no secrets and leave no chance"));
    let moment = |name| refused(name, format!("Lobby has no {name}; timestamp tells the time"));
    NEEDS.into_iter().map(refuse).chain(SECRETS.into_iter().map(secret)).chain(MOMENTS.into_iter().map(moment)).collect()
}

fn refused(name: &'static str, why: String) -> Named {
    (name, Func::variadic([], Type::Any, move |_| Err(CallError(why.clone()))))
}
