/** The public API, nothing else. */
export {
  CryptoError,
  InvalidArgument,
  LocalError,
  MalformedInput,
  PeerError,
  RailGunError,
  RefusalCode,
} from "./errors.js";
export { networkId } from "./crypto/names.js";
export { NetworkKind, type NetworkParameters } from "./network.js";
export { formatInvite, parseInvite, type Invite } from "./wire/invites.js";
