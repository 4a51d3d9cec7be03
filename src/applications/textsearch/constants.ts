/**
 * Numbers that the room and its algorithms share, as in Linux 6.17, include/linux/textsearch.h. Pure: modules import it.
 */

/** What `find` and `next` give where there is no (further) match. */
export const UINT_MAX = 0xffff_ffff

/** For `prepare`: an algorithm that is not registered is asked for as module `ts_<algorithm>`. */
export const TS_AUTOLOAD = 1
/** For `prepare`: capital and small letters are the same, those of Latin-1 included. */
export const TS_IGNORECASE = 2
