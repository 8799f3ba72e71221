//! The images, subnets and security groups that objects may name. In: the operator's lists. Out:
//! whether a name is on them. Pure.
//!
//! Without these lists, anyone who may create objects in a namespace could run any program,
//! anywhere in the account, with the tasks' role.

use crate::plan::Defaults;

/// The names that objects may use. An entry that ends in `*` matches every name with that prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowList {
    /// Generator images.
    pub images: Vec<String>,
    /// Subnets, by ID.
    pub subnets: Vec<String>,
    /// Security groups, by ID.
    pub security_groups: Vec<String>,
}

impl AllowList {
    /// Allows every name.
    #[must_use]
    pub fn everything() -> Self {
        let all = || vec!["*".to_owned()];
        Self { images: all(), subnets: all(), security_groups: all() }
    }

    /// Allows the operator's own images, subnets and security groups, too.
    #[must_use]
    pub fn and_defaults(mut self, defaults: &Defaults) -> Self {
        self.images.extend(defaults.image.iter().cloned());
        self.subnets.extend(defaults.subnets.iter().cloned());
        self.security_groups.extend(defaults.security_groups.iter().cloned());
        self
    }
}

/// Whether one of `entries` matches `name`.
pub(crate) fn is_listed(entries: &[String], name: &str) -> bool {
    entries.iter().any(|entry| match entry.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == entry,
    })
}

#[cfg(test)]
mod tests {
    use super::is_listed;

    #[test]
    fn an_entry_matches_a_name_or_a_prefix() {
        let entries = ["registry.example.com/team/*".to_owned(), "registry.example.com/other:1".to_owned()];
        for listed in ["registry.example.com/team/generator:2", "registry.example.com/other:1"] {
            assert!(is_listed(&entries, listed), "{listed}");
        }
        for other in
            ["registry.example.com/team", "registry.example.com/other:10", "registry.example.com/other", ""]
        {
            assert!(!is_listed(&entries, other), "{other}");
        }
        assert!(!is_listed(&[], "a"));
        assert!(is_listed(&["*".to_owned()], "a"));
    }
}
