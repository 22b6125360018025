//! Membership: foca, driven with the guards that keep it from killing healthy nodes.
//!
//! The one place that knows foca's calls; the engine behind it can be exchanged for another SWIM without touching the
//! rest. Every call appends to [`Effects`]: packets to send, timers to arm. Whether the membership changed is told by
//! a flag, not by notifications: the roster compares itself with [`Membership::states`], so nothing can get lost.
//! Not here: rumours' envelope (`packet`), what a change means to others (`roster`).

use std::{
    collections::HashSet,
    num::{NonZeroU8, NonZeroUsize},
    time::Duration,
};

use foca::{Foca, Member, Message, Notification, OwnedNotification, PeriodicParams, Runtime, State, Timer};
use lobby_core::{
    id::{Generation, NodeId},
    limits,
    time::Moment,
    wire::binary::{DecodeError, Reader},
};
use rand::{SeedableRng, rngs::SmallRng};

use crate::{
    bucket::Bucket,
    codec::{Codec, incarnation},
    config::Config,
    identity::Identity,
};

mod guard;
mod hearsay;
mod room;
mod suspects;
#[cfg(test)]
mod tests;

use guard::{Guards, Ruling};
pub(crate) use hearsay::FEW;
use room::LEAST_MEMBER_BYTES;
use suspects::Suspects;

/// So many times what a suspect has to refute, and there is a verdict or an answer somewhere: most of the time goes when the
/// observer doubts itself.
const OVERDUE: u32 = 2;

/// A timer that foca wants back.
pub(crate) type MemberTimer = Timer<Identity>;

/// What foca wants done after a call.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// Packets to send, each to one member.
    pub(crate) sends: Vec<(Identity, Vec<u8>)>,
    /// Timers to hand back after a while.
    pub(crate) timers: Vec<(Duration, MemberTimer)>,
    /// Members to judge after a while, because others say that they are dead.
    pub(crate) judgements: Vec<(Duration, Identity)>,
    /// Some member came, went or was replaced, or we were renewed.
    pub(crate) changed: bool,
    /// Members that did not answer our own probe.
    pub(crate) accused: Vec<NodeId>,
    /// Strangers for whom there is no room.
    pub(crate) n_refused: usize,
    /// Somebody is suspected for longer than a suspicion lasts: how it ended has passed us by.
    pub(crate) overdue: bool,
    n_downs: usize,
    /// Our own, as the last packet has it.
    incarnation: Option<u16>,
}

impl Runtime<Identity> for Effects {
    fn notify(&mut self, notification: Notification<'_, Identity>) {
        let notification = notification.to_owned();
        self.n_downs += usize::from(matches!(notification, OwnedNotification::MemberDown(_)));
        self.changed = true;
    }

    fn send_to(&mut self, to: Identity, data: &[u8]) {
        self.incarnation = incarnation(data).or(self.incarnation);
        self.sends.push((to, data.to_vec()));
    }

    fn submit_after(&mut self, event: MemberTimer, after: Duration) {
        self.timers.push((after, event));
    }
}

/// Who is in the cluster, as far as we know.
pub(crate) struct Membership {
    foca: Foca<Identity, Codec, SmallRng, foca::NoCustomBroadcast>,
    codec: Codec,
    config: foca::Config,
    guards: Guards,
    sized_for: usize,
    suspects: Suspects,
    left: bool,
    /// Who is going to be judged, because others say that they are dead.
    judging: HashSet<NodeId>,
    /// Our own, as far as we have told anybody.
    incarnation: u16,
    renewals: Bucket,
    /// Members that are taken in: beyond, only news of known ones.
    bound: usize,
    /// Who is known, while there is hardly any room left.
    known: HashSet<NodeId>,
}

impl Membership {
    pub(crate) fn new(own: Identity, config: &Config, seed: u64, now: Moment) -> Self {
        let foca_config = foca_config(config);
        let codec = Codec::new(own);
        Self {
            foca: Foca::new(own, foca_config.clone(), SmallRng::seed_from_u64(seed), codec),
            codec,
            config: foca_config,
            guards: Guards::new(config, now),
            sized_for: 0,
            suspects: Suspects::new(config.suspect_for * OVERDUE),
            left: false,
            judging: HashSet::new(),
            incarnation: 0,
            renewals: Bucket::full(),
            bound: limits::NODES,
            known: HashSet::new(),
        }
    }

    /// Our own identity at present.
    pub(crate) fn identity(&self) -> Identity {
        *self.foca.identity()
    }

    /// Everybody foca knows of but ourselves, those that are down too.
    pub(crate) fn states(&self) -> impl Iterator<Item = &Member<Identity>> {
        self.foca.iter_membership_state()
    }

    /// Rumours that wait for a packet with room.
    pub(crate) fn backlog(&self) -> usize {
        self.foca.updates_backlog()
    }

    /// Whether the member answered us within the time a suspect has.
    pub(crate) fn has_proof(&self, id: NodeId, now: Moment) -> bool {
        self.guards.has_proof(id, now)
    }

    /// Whether the member answered us after this moment.
    pub(crate) fn replied_since(&self, id: NodeId, moment: Moment) -> bool {
        self.guards.replied_since(id, moment)
    }

    /// How many more of our probes failed than were answered, 0 to 8: from 2 on we doubt ourselves.
    pub(crate) const fn score(&self) -> u8 {
        self.guards.score()
    }

    /// Takes in a foca packet.
    pub(crate) fn handle_data(&mut self, data: &[u8], now: Moment, effects: &mut Effects) -> Result<(), DecodeError> {
        // Guard 5: a leaver that hears of its own end would come back as a new member.
        if self.left {
            return Ok(());
        }
        let mut reader = Reader::new(data);
        let header = self.codec.header(&mut reader)?;
        if header.dst == *self.foca.identity() {
            self.guards.note_message(header.src.id, &header.message, now);
            if header.message == Message::TurnUndead && !self.may_renew(now) {
                return Ok(());
            }
        }
        let head = data.len() - reader.remaining();
        let tempered = self.temper_packet(data, head, &header, now, effects)?;
        let mut data = tempered.as_deref().unwrap_or(data);
        let reader = Reader::new(&data[head..]);
        let admitted;
        if !self.has_room(1 + reader.remaining() / LEAST_MEMBER_BYTES) {
            let Some(packet) = self.admit_packet(&data[..head], &header, reader, effects)? else { return Ok(()) };
            admitted = packet;
            data = &admitted;
        }
        let handled = self.foca.handle_data(data, &mut *effects);
        self.incarnation = effects.incarnation.unwrap_or(self.incarnation);
        match handled {
            Err(foca::Error::Decode(_) | foca::Error::MalformedPacket | foca::Error::DataTooBig) => Err(DecodeError::Trailing),
            // The others are races that foca settles by itself (a packet for a former self, an outdated probe).
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Takes back a timer that is due.
    pub(crate) fn handle_timer(&mut self, timer: MemberTimer, now: Moment, effects: &mut Effects) {
        if self.left {
            return;
        }
        let Timer::ChangeSuspectToDown { member_id: suspect, .. } = timer else {
            let armed = effects.timers.len();
            let probing = matches!(timer, Timer::ProbeRandomMember(_));
            let _ = self.foca.handle_timer(timer, &mut *effects);
            let accused = effects.timers[armed..].iter().find_map(|(_, timer)| match timer {
                Timer::ChangeSuspectToDown { member_id, .. } => Some(member_id.id),
                _ => None,
            });
            if let Some(accused) = accused.filter(|_| probing) {
                self.guards.note_failed_probe();
                effects.accused.push(accused);
                self.accuse(accused, effects);
            }
            if probing {
                // foca does not tell of suspicions: look once in each period, and once more when they are over.
                let had_suspects = !self.suspects.is_empty();
                self.suspects.look(self.foca.iter_membership_state(), now);
                effects.changed |= had_suspects | !self.suspects.is_empty();
                effects.overdue = self.suspects.is_overdue(now);
            }
            return;
        };
        let n_others = self.foca.num_members().saturating_sub(1);
        match self.guards.rule(suspect.id, n_others, now) {
            Ruling::Later(after) => effects.timers.push((after, timer)),
            Ruling::Acquit => {}
            Ruling::Ask(after) => {
                self.accuse(suspect.id, effects);
                let _ = self.foca.announce(suspect, &mut *effects);
                effects.timers.push((after, timer));
            }
            Ruling::Convict => {
                let (n_sends, n_downs) = (effects.sends.len(), effects.n_downs);
                let _ = self.foca.handle_timer(timer, &mut *effects);
                // Guard 1: foca 2.0 tells a suspect that has refuted in time that it is dead.
                if effects.n_downs == n_downs {
                    effects.sends.truncate(n_sends);
                }
            }
        }
    }

    /// Tells a suspect that it is one. A rumour can miss the very member that could refute it, and it is not repeated: who
    /// suspects what is suspected already has no news. The suspicion would stay, and the next lost probe find no defence.
    fn accuse(&self, id: NodeId, effects: &mut Effects) {
        let accused = self.states().find(|member| member.id().id == id && member.state() == State::Suspect);
        effects.sends.extend(accused.map(|accused| (*accused.id(), self.codec.accusation(self.identity(), accused))));
    }

    /// Takes in what an exchange or a stream told about members; with `rumours` passes it on as such.
    pub(crate) fn apply(
        &mut self,
        members: impl IntoIterator<Item = Member<Identity>>,
        rumours: bool,
        now: Moment,
        effects: &mut Effects,
    ) {
        if self.left {
            return;
        }
        let members: Vec<_> = members.into_iter().collect();
        let mut members = if self.has_room(members.len()) { members } else { self.admit(members, effects) };
        for member in &mut members {
            *member = self.temper_own(member, now).unwrap_or_else(|| member.clone());
        }
        let guards = &self.guards;
        // Hearsay does not beat an answer that we got ourselves: such a member is suspected, and probed, instead.
        let temper = |member: Member<Identity>| match member.state() {
            State::Down if guards.has_proof(member.id().id, now) => {
                Member::new(*member.id(), member.incarnation(), State::Suspect)
            }
            _ => member,
        };
        let _ = self.foca.apply_many(members.into_iter().map(temper), rumours, &mut *effects);
        self.incarnation = effects.incarnation.unwrap_or(self.incarnation);
    }

    /// A member said itself that it is going: no proof of life stands against that.
    pub(crate) fn apply_leave(&mut self, identity: Identity, effects: &mut Effects) {
        if !self.left {
            let _ = self.foca.apply_many(std::iter::once(Member::down(identity)), true, effects);
        }
    }

    /// Forgets a process of a node if it is down, and `always` whether it is or not. Nobody else hears of it.
    pub(crate) fn forget(&mut self, id: NodeId, generation: Generation, always: bool) {
        let is_it = |member: &&Member<Identity>| {
            let is_process = if always { member.id().generation == generation } else { member.id().generation <= generation };
            member.id().id == id && is_process && (always || member.state() == State::Down)
        };
        let found = self.states().find(is_it).map(|member| *member.id());
        if let Some(identity) = found {
            let _ = self.foca.apply_many(std::iter::once(Member::down(identity)), false, Effects::default());
            let _ = self.foca.handle_timer(Timer::RemoveDown(identity), Effects::default());
        }
    }

    /// Introduces ourselves to a member by datagram.
    pub(crate) fn announce(&mut self, to: Identity, effects: &mut Effects) {
        if !self.left {
            let _ = self.foca.announce(to, effects);
        }
    }

    /// The packet that tells a live member that it is held down elsewhere: it comes back as its next identity.
    pub(crate) fn held_down(&self, to: Identity) -> Vec<u8> {
        self.codec.turn_undead(self.identity(), to)
    }

    /// Declares ourselves down. Afterwards foca hears nothing more.
    pub(crate) fn leave(&mut self, effects: &mut Effects) {
        let _ = self.foca.leave_cluster(effects);
        self.left = true;
    }

    /// A packet of ours with another receiver.
    pub(crate) fn readdress(&self, packet: &[u8], to: Identity) -> Option<Vec<u8>> {
        self.codec.readdress(packet, to)
    }

    /// Fits the number of copies of a rumour to the size of the cluster.
    pub(crate) fn resize(&mut self, config: &Config, members: usize, now: Moment) {
        self.guards.forget_old(members, now);
        if members.abs_diff(self.sized_for) * 4 < self.sized_for {
            return;
        }
        self.sized_for = members;
        self.config.max_transmissions = NonZeroU8::new(config.transmissions(members)).expect("at least twelve copies");
        let _ = self.foca.set_config(self.config.clone());
    }
}

fn foca_config(config: &Config) -> foca::Config {
    let positive = |n: usize| NonZeroUsize::new(n.max(1)).expect("at least one");
    foca::Config {
        probe_period: config.probe_period,
        probe_rtt: config.probe_rtt,
        num_indirect_probes: positive(config.fanout),
        max_transmissions: NonZeroU8::new(config.min_transmissions.max(1)).expect("at least one"),
        suspect_to_down_after: config.suspect_for,
        remove_down_after: Some(config.remember_down),
        max_packet_size: positive(config.foca_bytes),
        notify_down_members: true,
        // The exchange by stream brings members instead, all at once.
        periodic_announce: None,
        periodic_announce_to_down_members: Some(PeriodicParams {
            frequency: config.down_announce_period,
            num_members: positive(config.down_announce_fanout),
        }),
        periodic_gossip: Some(PeriodicParams { frequency: config.gossip_period, num_members: positive(config.gossip_fanout) }),
    }
}
