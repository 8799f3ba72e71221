//! STS: the account.

use super::Arm;
use super::fixtures::aws;

pub(super) async fn the_account_is_that_of_the_credentials(arm: &dyn Arm) {
    assert_eq!(aws(arm).identity.fetch_account_id().await.unwrap(), super::ACCOUNT);
}
