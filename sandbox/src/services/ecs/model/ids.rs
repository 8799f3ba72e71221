//! Random ids in AWS's formats. In: a random number generator. Out: ids. Pure except for the
//! generator.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// `digits` lower-case hexadecimal digits, as in task ids.
pub fn hex(rng: &mut ChaCha8Rng, digits: usize) -> String {
    (0..digits).filter_map(|_| char::from_digit(rng.random_range(0..16), 16)).collect()
}

/// A random id in UUID format.
pub fn uuid(rng: &mut ChaCha8Rng) -> String {
    uuid::Builder::from_random_bytes(rng.random()).into_uuid().to_string()
}

/// A deployment id: `ecs-svc/` and nineteen digits.
pub fn deployment_id(rng: &mut ChaCha8Rng) -> String {
    format!("ecs-svc/{:019}", rng.random_range(1_000_000_000_000_000_000_u64..9_223_372_036_854_775_807))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn ids_have_the_same_format_as_on_aws() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        assert_eq!(hex(&mut rng, 32).len(), 32);
        assert_eq!(deployment_id(&mut rng).len(), "ecs-svc/".len() + 19);
        assert_eq!(uuid(&mut rng).len(), 36);
    }
}
