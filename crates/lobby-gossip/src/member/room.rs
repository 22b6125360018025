//! The bound of members: beyond it strangers are refused, and news of known members still go in.
//!
//! foca has no bound of its own: whatever it is told of, it keeps. While there is room for all that a packet may name,
//! nothing is looked at here.

use bytes::BufMut;
use foca::{Header, Member, Message};
use lobby_core::wire::binary::{DecodeError, Reader};

use super::{Effects, Membership};
use crate::{
    codec::{put_member, read_member},
    identity::Identity,
};

/// A member with an IPv4 address: identity, incarnation, state.
pub(super) const LEAST_MEMBER_BYTES: usize = 16 + 8 + 2 + 1 + 4 + 2 + 2 + 1;

impl Membership {
    /// Whether so many strangers could be taken in.
    pub(super) fn has_room(&mut self, n_strangers: usize) -> bool {
        let has_room = self.foca.iter_membership_state().len() + n_strangers <= self.bound;
        if has_room {
            self.known.clear();
        }
        has_room
    }

    /// Those of the members that are known, and of the others as many as there is room for.
    pub(super) fn admit(&mut self, mut members: Vec<Member<Identity>>, effects: &mut Effects) -> Vec<Member<Identity>> {
        if self.known.len() != self.foca.iter_membership_state().len() {
            self.known = self.foca.iter_membership_state().map(|member| member.id().id).collect();
        }
        let own = self.identity().id;
        members.retain(|member| {
            let id = member.id().id;
            let admitted = id == own || self.known.contains(&id) || self.known.len() < self.bound;
            if admitted && id != own {
                self.known.insert(id);
            }
            effects.n_refused += usize::from(!admitted);
            admitted
        });
        members
    }

    /// A packet without the strangers that it names; `None` if its sender is one.
    pub(super) fn admit_packet(
        &mut self,
        head: &[u8],
        header: &Header<Identity>,
        mut rest: Reader<'_>,
        effects: &mut Effects,
    ) -> Result<Option<Vec<u8>>, DecodeError> {
        if self.admit(vec![Member::alive(header.src)], effects).is_empty() {
            return Ok(None);
        }
        let mut packet = head.to_vec();
        // As foca reads it: a count and so many members.
        if header.message != Message::Broadcast && rest.remaining() >= 2 {
            let n_members = u16::from_be_bytes(rest.array()?);
            let members = (0..n_members).map(|_| read_member(&mut rest)).collect::<Result<Vec<_>, _>>()?;
            let members = self.admit(members, effects);
            packet.put_u16(u16::try_from(members.len()).unwrap_or(n_members));
            members.iter().for_each(|member| put_member(member, &mut packet));
        }
        packet.extend_from_slice(rest.take(rest.remaining())?);
        Ok(Some(packet))
    }
}
