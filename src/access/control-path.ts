/** Where the control socket is, for the side that listens and the side that connects. Constants only. */

/** In the data directory. */
export const CONTROL_SOCKET = 'control.sock';

/** Bytes that every system takes as the path of a socket: `sun_path` has 104 or 108, with its end. */
export const longestSocketPath = 100;
