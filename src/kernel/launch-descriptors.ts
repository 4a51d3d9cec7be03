/**
 * The descriptors that stand in shared memory during a launch, and who has to close or watch them.
 */
import { asFd, EPOLLIN, type Fd, type Libc } from '../libc/index.js'
import { type Memory, Process, type ProcessIndex, Slot, SlotFlag, type SlotIndex, Stdio } from './memory.js'

const STDIO_COUNT = 3

/** What an entry of the epoll set is for, in the low bits of its data; the rest is the process's row. */
export const Watch = { EXIT: 0, STDOUT: 1, STDERR: 2, WAKE: 3, STEP: 4 } as const
export const WATCH_BITS = 3

/** Which words of a process's row belong to which watch. */
const CAPTURES = [
  [Process.OUT_PIPE, Watch.STDOUT],
  [Process.ERR_PIPE, Watch.STDERR],
] as const
const PIPES = [...CAPTURES, [Process.STEP_SOCKET, Watch.STEP]] as const

/** After the program has been started: its pipes' write ends are its own, the read ends of captured output are watched. */
export function watchCaptures(memory: Memory, libc: Libc, process: ProcessIndex, epoll: Fd): void {
  const { words } = memory
  const row = memory.process(process)
  for (const [readEnd] of PIPES) {
    const writeEnd = readEnd + 1
    const write = words[row + writeEnd] ?? 0
    words[row + writeEnd] = 0
    if (write > 0) libc.close(asFd(write))
  }
  for (const [readEnd, watch] of CAPTURES) watchPipe(memory, libc, process, epoll, readEnd, watch)
}

/** From here the wait_for_helper thread may hear how the exec step went, and end the call. */
export function watchStep(memory: Memory, libc: Libc, process: ProcessIndex, epoll: Fd): void {
  watchPipe(memory, libc, process, epoll, Process.STEP_SOCKET, Watch.STEP)
}

function watchPipe(
  memory: Memory,
  libc: Libc,
  process: ProcessIndex,
  epoll: Fd,
  readEnd: number,
  watch: number,
): void {
  const read = memory.words[memory.process(process) + readEnd] ?? 0
  if (read > 0) libc.epollAdd(epoll, asFd(read), EPOLLIN, (process << WATCH_BITS) | watch)
}

/** The program was not started: closes whatever pipe ends stand in its row. */
export function closePipes(memory: Memory, libc: Libc, row: number): void {
  for (const [readEnd] of PIPES) {
    for (const end of [readEnd, readEnd + 1]) {
      const fd = memory.words[row + end] ?? 0
      memory.words[row + end] = 0
      if (fd > 0) libc.close(asFd(fd))
    }
  }
}

/** Closes the descriptors that were made for one call and handed to its khelper. */
export function closeOwned(memory: Memory, libc: Libc, slot: SlotIndex): void {
  const { words } = memory
  const row = memory.slot(slot)
  if (((words[row + Slot.FLAGS] ?? 0) & SlotFlag.USED_ALL) === 0) return
  for (let entry = 0; entry < STDIO_COUNT; entry += 1) {
    if (words[row + Slot.STDIO + entry] !== Stdio.OWNED_FD) continue
    words[row + Slot.STDIO + entry] = Stdio.IGNORE
    libc.close(asFd(words[row + Slot.STDIO_FD + entry] ?? -1))
  }
}
