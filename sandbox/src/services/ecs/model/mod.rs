//! The rules of ECS that do not depend on its state: what the service scheduler decides, how fast
//! it may launch tasks, how long things take, and what ids look like. Pure.

pub mod ids;
pub mod launch_limits;
pub mod scheduler;
pub mod time;
