//! Finds names in roles that no client can have: no token has the name, and no accepted certificate
//! or JSON web token can have its prefix.

use super::{Access, Tls};
use crate::glob::NamePattern;

impl Access {
    /// A warning for each name in a role that no client can have, one sentence each.
    pub fn unreachable_names(&self, tls: &Tls) -> Vec<String> {
        let certificates = tls.client_ca.as_ref().map(|_| self.certificates.prefix.as_str());
        let issuers = self.jwt.iter().map(|jwt| jwt.prefix.as_str());
        let prefixes: Vec<&str> = certificates.into_iter().chain(issuers).collect();
        let is_reachable = |name: &str| {
            let pattern = NamePattern::new(name);
            self.tokens.iter().any(|token| pattern.matches(&token.principal))
                || prefixes.iter().any(|prefix| can_begin_with(name, prefix))
        };
        let mut warnings = Vec::new();
        for (position, role) in self.roles.iter().enumerate() {
            for (place, name) in role.principals.iter().enumerate() {
                if !is_reachable(name) {
                    let why = self.why_unreachable(name, tls);
                    warnings.push(format!(
                        "access.roles[{position}].principals[{place}]: no client can be {name:?}: {why}"
                    ));
                }
            }
        }
        warnings
    }

    fn why_unreachable(&self, name: &str, tls: &Tls) -> &'static str {
        if tls.client_ca.is_none() && can_begin_with(name, &self.certificates.prefix) {
            return "tls.client_ca is not set, so no client certificate is taken";
        }
        "no token has this name, and names of certificates and JSON web tokens begin otherwise"
    }
}

/// Whether the pattern matches a name that is longer than `prefix` and begins with it.
fn can_begin_with(pattern: &str, prefix: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern.len() > prefix.len() && pattern.starts_with(prefix),
        Some((head, _)) => head.starts_with(prefix) || prefix.starts_with(head),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Access, Tls};

    fn warnings(roles: &[&str], client_ca: bool, rest: &str) -> Vec<String> {
        let role = |name| format!("[[roles]]\nname = \"r\"\nprincipals = [\"{name}\"]\n");
        let text = format!("{rest}\n{}", roles.iter().map(role).collect::<String>());
        let access: Access = toml::from_str(&text).expect("valid");
        let tls = Tls { client_ca: client_ca.then(|| "ca.pem".into()), ..Tls::default() };
        access.unreachable_names(&tls)
    }

    #[test]
    fn names_that_no_credential_gives_are_named() {
        let token = format!("[[tokens]]\nprincipal = \"admin\"\nsha256 = \"{}\"", "0".repeat(64));
        let jwt = "[[jwt]]\nissuer = \"i\"\naudiences = [\"a\"]\njwks = \"keys.json\"";
        let both = format!("{token}\n{jwt}");
        for (name, client_ca, rest, why) in [
            ("admin", false, token.as_str(), None),
            ("adm*", false, token.as_str(), None),
            ("*", false, token.as_str(), None),
            ("amdin", false, token.as_str(), Some("no token has this name")),
            ("cert:orders", false, token.as_str(), Some("tls.client_ca is not set")),
            ("cert:*", false, token.as_str(), Some("tls.client_ca is not set")),
            ("cert:orders", true, token.as_str(), None),
            // A prefix alone is not a name.
            ("cert:", true, token.as_str(), Some("no token has this name")),
            ("spiffe://example.org/*", true, both.as_str(), Some("begin otherwise")),
            ("jwt:*@example.org", true, both.as_str(), None),
            ("j*", false, both.as_str(), None),
            ("jwt:alice", true, token.as_str(), Some("begin otherwise")),
        ] {
            let found = warnings(&[name], client_ca, rest);
            match why {
                None => assert_eq!(found, Vec::<String>::new(), "{name}"),
                Some(why) => {
                    let [warning] = found.as_slice() else { panic!("{name}: {found:?}") };
                    let start =
                        format!("access.roles[0].principals[0]: no client can be \"{name}\": ");
                    assert!(warning.starts_with(&start) && warning.contains(why), "{warning}");
                }
            }
        }
    }
}
