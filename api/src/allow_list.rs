//! What objects may name besides the operator's own: images, subnets, security groups. In: the operator's lists. Out: whether a name
//! is on them. Pure.
//!
//! Who may write objects in a namespace would otherwise run any program, anywhere in the account, under the role of the tasks.

/// The names that objects may use. An entry that ends in `*` stands for all names that begin so.
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
    /// Every name.
    #[must_use]
    pub fn everything() -> Self {
        let all = || vec!["*".to_owned()];
        Self { images: all(), subnets: all(), security_groups: all() }
    }
}

/// Whether one of `entries` stands for `name`.
pub(crate) fn is_listed(entries: &[String], name: &str) -> bool {
    entries.iter().any(|entry| match entry.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == entry,
    })
}

#[cfg(test)]
mod tests {
    use super::is_listed;

    #[test]
    fn an_entry_is_a_name_or_its_beginning() {
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
