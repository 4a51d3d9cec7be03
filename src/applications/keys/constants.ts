/**
 * The numbers of Linux's include/uapi/linux/keyctl.h and security/keys.
 */

/** Keyrings that are named by what they are to the caller, not by a serial number. */
export const KEY_SPEC_THREAD_KEYRING = -1
export const KEY_SPEC_PROCESS_KEYRING = -2
export const KEY_SPEC_SESSION_KEYRING = -3
export const KEY_SPEC_USER_KEYRING = -4
export const KEY_SPEC_USER_SESSION_KEYRING = -5
export const KEY_SPEC_GROUP_KEYRING = -6
export const KEY_SPEC_REQKEY_AUTH_KEY = -7
export const KEY_SPEC_REQUESTOR_KEYRING = -8

/** What can be asked of a key. Each of the four groups of eight bits in a key's permissions holds these. */
export const Need = { VIEW: 0x01, READ: 0x02, WRITE: 0x04, SEARCH: 0x08, LINK: 0x10, SETATTR: 0x20 } as const
export type Need = (typeof Need)[keyof typeof Need]

const EVERY_NEED = 0x3f
/** Where each group begins: who possesses the key, its user, its group, all others. */
export const Shift = { POSSESSOR: 24, USER: 16, GROUP: 8, OTHER: 0 } as const

export const KEY_POS_ALL = EVERY_NEED << Shift.POSSESSOR
export const KEY_POS_SETATTR = Need.SETATTR << Shift.POSSESSOR
export const KEY_USR_ALL = EVERY_NEED << Shift.USER
export const KEY_GRP_ALL = EVERY_NEED << Shift.GROUP
export const KEY_OTH_ALL = EVERY_NEED
export const KEY_ALL = KEY_POS_ALL | KEY_USR_ALL | KEY_GRP_ALL | KEY_OTH_ALL

/** The permissions of a group of eight bits, shifted to where they belong. */
export const permissions = (who: keyof typeof Shift, ...needs: readonly Need[]): number =>
  needs.reduce((mask: number, need) => mask | need, 0) << Shift[who]

export const SECOND = 1_000
/** How long it is remembered that a helper gave no key (key_negative_timeout). */
export const NEGATIVE_TIMEOUT_SECONDS = 60
/** How deep keyrings are searched (KEYRING_SEARCH_MAX_DEPTH). */
export const SEARCH_MAX_DEPTH = 6
/** What a link takes of its keyring's quota (KEYQUOTA_LINK_BYTES). */
export const LINK_BYTES = 4
/** The longest payload of a user or logon key. */
export const LARGEST_USER_PAYLOAD = 32_767
/** The longest payload of any key. */
export const LARGEST_PAYLOAD = 2 ** 20 - 1
/** Room for the name of a type and of a description, each with the NUL that ends it in C. */
export const TYPE_NAME_BYTES = 32
export const DESCRIPTION_BYTES = 4_096
/** The longest callout info: a page, with the NUL. */
export const CALLOUT_BYTES = 4_096
export const LARGEST_SERIAL = 2 ** 31 - 1
export const LARGEST_TIMEOUT = 2 ** 32 - 1
/** Error numbers end here (MAX_ERRNO). */
export const MAX_ERRNO = 4_095
/** ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND and ERESTART_RESTARTBLOCK are no answers to anybody. */
export const RESTART_ERRORS: readonly number[] = [512, 513, 514, 516]
