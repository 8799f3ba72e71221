//! Parses Amazon Resource Names. In: a text. Out: its parts, and whether it names a resource of the
//! caller's account and Region. Pure.

use crate::call::Caller;

/// The partition of all of the sandbox's Regions.
pub const PARTITION: &str = "aws";

/// `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arn<'a> {
    pub partition: &'a str,
    pub service: &'a str,
    pub region: &'a str,
    pub account: &'a str,
    /// The remaining text, including colons.
    pub resource: &'a str,
}

impl<'a> Arn<'a> {
    /// Parses a text; `None` if it is not an ARN.
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.strip_prefix("arn:")?.splitn(5, ':');
        Some(Self {
            partition: parts.next()?,
            service: parts.next()?,
            region: parts.next()?,
            account: parts.next()?,
            resource: parts.next()?,
        })
    }

    /// The same, but `None` if it names another partition, service, Region or account.
    pub fn own(text: &'a str, service: &str, region: &str, account: &str) -> Option<Self> {
        Self::parse(text).filter(|arn| {
            (arn.partition, arn.service, arn.region, arn.account) == (PARTITION, service, region, account)
        })
    }

    /// The same, for the Region and account of a caller.
    pub fn own_of(text: &'a str, service: &str, caller: &Caller) -> Option<Self> {
        Self::own(text, service, &caller.region, &caller.account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_own_arn_matches_in_every_part() {
        let caller = Caller { account: "000000000000".to_owned(), region: "us-east-1".to_owned() };
        let own = |text| Arn::own_of(text, "logs", &caller).map(|arn| arn.resource);
        assert_eq!(own("arn:aws:logs:us-east-1:000000000000:log-group:/g:*"), Some("log-group:/g:*"));
        for other in [
            "arn:aws-cn:logs:us-east-1:000000000000:log-group:/g",
            "arn:aws:ssm:us-east-1:000000000000:log-group:/g",
            "arn:aws:logs:eu-west-1:000000000000:log-group:/g",
            "arn:aws:logs:us-east-1:111111111111:log-group:/g",
            "arn:aws:logs:us-east-1:000000000000",
            "see arn:aws:logs:us-east-1:000000000000:log-group:/g",
            "/g",
            "",
        ] {
            assert_eq!(own(other), None, "{other}");
        }
    }
}
