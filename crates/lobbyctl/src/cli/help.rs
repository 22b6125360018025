//! The help text of all verbs, as `lobbyctl --help` prints it.
//!
//! Not here: the help of each verb, which clap makes of its arguments.

/// The help text in groups, which clap does not know for verbs; a test holds it to the verbs that exist.
pub(super) const HELP: &str = "\
{about}

{usage-heading} lobbyctl [OPTIONS] COMMAND

The fleet:
  resolve LABEL                 names of the servers that carry exactly this label
  discoveries                   every server and its labels
  discoveries labels LABEL…     servers with any of these labels
  discoveries search PREFIX…    servers with a label that begins so
  nodes [--near NODE]           every node with its state, failed ones too
  watch                         what changes, as it happens

Services:
  services                      what is offered, by how many, and how they are
  service NAME                  its instances, and what is wrong with them
  why SERVICE [ID]              the evidence for what is made of an instance
  watch --service NAME          its changes; with -- COMMAND, runs that for each
  run --name NAME -- COMMAND    runs a program, registered for as long as it runs
  register --name NAME          registers an instance here; --file FILE
  deregister ID                 takes it away
  check pass|warn|fail ID       reports to a check with a TTL
  maint on|off [ID]             takes an instance, or this node, out or back in
  drain [ID] [--undo]           it takes nothing new, or again

The daemon's own server:
  discovery                     its packet
  labels add LABEL…             add labels at run time
  labels del LABEL…             delete labels that were added at run time

The local proxy:
  proxy status                  its services, and whether HAProxy is in step
  proxy plan|diff|apply         what would be done, without a daemon; does it once
  deploy swap SERVICE --to PORT makes the version on this port of this node the one
                                that takes requests
  deploy status SERVICE         which port does so where

Files:
  template -template SRC:DST[:CMD]
                                keeps files in step with the fleet and runs commands, with
                                consul-template's flags: template -h

Gossip:
  members                       members with state, round trip, version, age
  event NAME [PAYLOAD]          tell everybody that something happens
  events [--watch]              the newest events
  query NAME [PAYLOAD]          ask everybody, print the answers as they come
  rtt A [B]                     estimated round trip between two nodes
  join ADDR…                    contact these agents now
  force-leave NODE              make everybody forget a failed node
  keys list                     which node has which keys
  keys install|use|remove KEY   change the keys of all nodes

The daemon:
  status                        whether it serves, is warm, and its links are up
  info                          who it is, and the numbers of its gossip
  reload                        read the label sources again
  leave                         say goodbye to the fleet and end
  keygen                        print a new key (asks no daemon)
  completions SHELL             print what bash, zsh or fish needs to complete all this

Options:
{options}

Exit status: 0 done, 1 failed, 64 wrong usage, 69 no daemon answers.
";
