//! How a client reaches the sandbox. In: its address and access key id. Out: environment variables.
//! Pure.

/// The sandbox does not check signatures, so any value works.
const SECRET_ACCESS_KEY: &str = "sandbox";

/// The sandbox's address and the access key id that it accepts. Not `Debug`, because it contains
/// the key.
#[derive(Clone, PartialEq, Eq)]
pub struct SandboxAddress {
    pub endpoint: String,
    pub access_key_id: String,
}

/// Variables that make an AWS SDK or CLI use the sandbox only: no metadata service and no profile
/// of the user.
#[must_use]
pub fn aws_variables(sandbox: &SandboxAddress, region: &str) -> Vec<(&'static str, String)> {
    let SandboxAddress { endpoint, access_key_id } = sandbox;
    vec![
        ("AWS_ENDPOINT_URL", endpoint.to_owned()),
        ("AWS_REGION", region.to_owned()),
        ("AWS_DEFAULT_REGION", region.to_owned()),
        ("AWS_ACCESS_KEY_ID", access_key_id.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY.to_owned()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
    ]
}
