//! Sources: what feeds the local record.
//!
//! A source is a task that sends whole states, never differences, so a missed message heals with the next one.

pub(crate) mod address;
pub(crate) mod folder;
pub(crate) mod hostname;
pub(crate) mod keys;
pub(crate) mod labels;
