//! Child processes: started, recorded, supervised and ended, also by a later run.

pub mod orphans;
pub mod record;
pub mod spawner;
pub mod supervisor;
