//! Templates in a fleet of real agents: files that follow it, and the programs that use them.
//!
//! What templates can say is tested in `lobby-template` and `lobby-render`, what `lobbyctl template` prints in `lobbyctl`.

mod blocks;
mod migrated;
mod process;
mod reach;
mod recipes;
mod seed;
