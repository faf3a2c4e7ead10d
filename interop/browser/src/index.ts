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
