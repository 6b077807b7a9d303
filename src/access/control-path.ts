/** Where the control socket is, for the side that listens and the side that connects. Constants only. */

/** In the data directory. */
export const CONTROL_SOCKET = 'control.sock';

/** The same where a command of the command line works on the directory itself: nobody else is to find it, because it is
 *  gone in a moment. */
export const COMMAND_SOCKET = 'command.sock';

/** Bytes that every system takes as the path of a socket: `sun_path` has 104 or 108, with its end. */
export const longestSocketPath = 100;
