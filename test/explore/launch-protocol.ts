/**
 * A launch between the khelper that has started a process, the wait_for_helper thread that hears how its exec step went,
 * and a caller that signals it meanwhile: production code (`handOver`, `stepSucceeded`, `stepFailed`, `leaveSignal`).
 */
import type { Protocol } from './protocols.js'

export const launch: Protocol = {
  name: 'launch',
  modules: {
    memory: 'kernel/memory.js',
    launch: 'kernel/hand-over.js',
    pending: 'kernel/pending-signal.js',
    table: 'kernel/process-table.js',
    complete: 'kernel/complete.js',
    completion: 'atomics-sync/completion.js',
    constants: 'kernel/constants.js',
    workqueue: 'kernel/workqueue.js',
    parts: new URL('./launch-parts.js', import.meta.url),
  },
  scenarios: [
    {
      name: 'a signal for a helper that has no process yet is sent once, by its khelper or by its caller',
      scenario: modules => {
        const { parts } = modules
        const call = parts.launched(modules, 'no', modules['constants'].UMH_WAIT_PROC)
        let told = false
        return {
          threads: [
            () => parts.handOver(modules, call),
            () => {
              told = parts.signal(modules, call)
            },
          ],
          check() {
            if (!told) throw new Error('the caller thinks that there was nothing to signal')
            if (call.sent.join() !== String(parts.SIGTERM)) throw new Error(`sent: ${call.sent.join()}`)
          },
        }
      },
    },
    {
      name: 'SIGKILL behind another signal is not lost',
      scenario: modules => {
        const { pending, parts } = modules
        const call = parts.launched(modules, 'no', modules['constants'].UMH_WAIT_PROC)
        return {
          threads: [
            () => parts.handOver(modules, call),
            () => {
              for (const number of [parts.SIGKILL, parts.SIGTERM]) {
                const request = { signal: number, tree: false }
                const own = pending.leaveSignal(call.memory, call.slot, request)
                if (own !== undefined) call.sent.push(own.signal)
              }
            },
          ],
          check() {
            if (!call.sent.includes(parts.SIGKILL)) throw new Error(`sent: ${call.sent.join()}`)
          },
        }
      },
    },
    {
      name: 'two threads that signal at once: SIGKILL is not lost',
      scenario: modules => {
        const { pending, parts } = modules
        const call = parts.launched(modules, 'no', modules['constants'].UMH_WAIT_PROC)
        const leave = (signal: number) => () => {
          const own = pending.leaveSignal(call.memory, call.slot, { signal, tree: false })
          if (own !== undefined) call.sent.push(own.signal)
        }
        return {
          threads: [() => parts.handOver(modules, call), leave(parts.SIGTERM), leave(parts.SIGKILL)],
          check() {
            if (!call.sent.includes(parts.SIGKILL)) throw new Error(`sent: ${call.sent.join()}`)
          },
        }
      },
    },
    {
      name: 'an exec step that succeeds: the exec is told once, a call that does not wait ends with it, and its khelper has let go',
      scenario: modules => {
        const { launch, memory: layout, constants, parts } = modules
        const call = parts.launched(modules, 'untold', constants.UMH_WAIT_EXEC)
        let retval = -1
        let early = false
        return {
          threads: [
            () =>
              parts.handOver(modules, call, () => {
                early = call.memory.words[call.row + layout.Slot.EXEC] !== layout.ExecState.PENDING
              }),
            () => {
              parts.awaitStep(call)
              launch.stepSucceeded(call.memory, call.completer, call.process)
              launch.stepSucceeded(call.memory, call.completer, call.process)
            },
            () => {
              retval = parts.awaitEnd(modules, call)
            },
          ],
          check() {
            if (early) throw new Error('the exec was told before the step was over')
            if (retval !== 0) throw new Error(`retval ${retval}`)
            const exec = call.memory.words[call.row + layout.Slot.EXEC]
            if (exec !== layout.ExecState.STARTED) throw new Error(`exec ${exec}`)
            if (call.memory.slots.available !== 2) throw new Error('a slot is lost')
          },
        }
      },
    },
    {
      name: 'an exec step that fails while its helper is signalled: the call ends once, with the step’s error',
      scenario: modules => {
        const { launch, memory: layout, constants, parts } = modules
        const { Slot, Step } = layout
        const call = parts.launched(modules, 'told', constants.UMH_WAIT_PROC)
        let retval = 0
        return {
          threads: [
            () => parts.handOver(modules, call),
            () => {
              parts.awaitStep(call)
              launch.stepFailed(
                call.memory,
                call.libc,
                call.completer,
                call.process,
                parts.EPERM,
                Step.SETUID,
              )
            },
            () => {
              parts.signal(modules, call)
              retval = parts.awaitEnd(modules, call)
            },
          ],
          check() {
            if (retval !== -parts.EPERM) throw new Error(`retval ${retval}`)
            const { words } = call.memory
            if (words[call.row + Slot.FAILED_STEP] !== Step.SETUID) throw new Error('another step')
            if (words[call.row + Slot.PID] !== 0) throw new Error('it has a pid')
            if (words[call.row + Slot.EXEC] !== layout.ExecState.FAILED) throw new Error('it was exec’d')
            if (call.sent.filter((number: number) => number === parts.SIGKILL).length !== 1) {
              throw new Error('a process that is stopped in its step is not killed')
            }
          },
        }
      },
    },
    {
      name: 'a helper that is killed in its step: its exec is over, and its end is told once',
      scenario: modules => {
        const { launch, memory: layout, constants, parts } = modules
        const call = parts.launched(modules, 'told', constants.UMH_WAIT_PROC)
        let retval = 0
        return {
          threads: [
            () => parts.handOver(modules, call),
            () => {
              parts.awaitStep(call)
              launch.stepSucceeded(call.memory, call.completer, call.process)
              call.completer.umhComplete(call.slot, parts.WAIT_STATUS)
            },
            () => {
              retval = parts.awaitEnd(modules, call)
            },
          ],
          check() {
            if (retval !== parts.WAIT_STATUS) throw new Error(`retval ${retval}`)
            const exec = call.memory.words[call.row + layout.Slot.EXEC]
            if (exec !== layout.ExecState.STARTED) throw new Error(`exec ${exec}`)
          },
        }
      },
    },
    {
      name: 'a call that ends with its exec is pending until then',
      scenario: modules => {
        const { launch, constants, workqueue, parts } = modules
        const call = parts.launched(modules, 'untold', constants.UMH_WAIT_EXEC)
        const over = new Int32Array(new SharedArrayBuffer(4))
        let flushed = -1
        return {
          threads: [
            () => parts.handOver(modules, call),
            () => {
              parts.awaitStep(call)
              Atomics.store(over, 0, 1)
              launch.stepSucceeded(call.memory, call.completer, call.process)
            },
            async () => {
              await workqueue.flushWorkqueue(call.memory)
              flushed = Atomics.load(over, 0)
            },
          ],
          check() {
            if (flushed !== 1) throw new Error('flushed before its exec was over')
          },
        }
      },
    },
    {
      name: 'a step that nobody watches: who asks for the exec, at whatever moment, hears of it',
      scenario: modules => {
        const { constants, parts } = modules
        const call = parts.launched(modules, 'untold', constants.UMH_WAIT_PROC)
        return {
          threads: [
            () => parts.handOver(modules, call),
            () => parts.askForExec(modules, call),
            () => parts.lookWhenWoken(modules, call),
          ],
          check() {
            if (call.pipes.length !== 0) throw new Error('it is watched')
          },
        }
      },
    },
    {
      name: 'a process that exits at once: its row is the next launch’s, whose pipe is not watched for it',
      scenario: modules => {
        const { constants, parts } = modules
        const call = parts.launched(modules, 'untold', constants.UMH_WAIT_EXEC)
        return {
          threads: [() => parts.handOver(modules, call), () => parts.reapAndReuse(modules, call)],
          check() {
            if (call.pipes.join() !== String(parts.PIPE)) throw new Error(`watched: ${call.pipes.join()}`)
          },
        }
      },
    },
  ],
  mutants: [
    {
      name: 'who signals does not look whether there is a process by now',
      file: 'kernel/pending-signal.js',
      from: 'return Atomics.load(words, row + Slot.PID) === 0 ? undefined : take(',
      to: 'return true ? undefined : take(',
    },
    {
      name: 'who signals sends its own, whatever it has taken back',
      file: 'kernel/pending-signal.js',
      from: 'undefined : take(words, row + Slot.KILL_REQUEST);',
      to: 'undefined : take(words, row + Slot.KILL_REQUEST) && pending;',
    },
    {
      name: 'the khelper takes the signal before it says that there is a process',
      file: 'kernel/pending-signal.js',
      from: 'Atomics.store(memory.words, row + Slot.PID, pid);\n    return take(memory.words, row + Slot.KILL_REQUEST);',
      to: 'const request = take(memory.words, row + Slot.KILL_REQUEST);\n    Atomics.store(memory.words, row + Slot.PID, pid);\n    return request;',
    },
    {
      name: 'who reads a signal leaves it there',
      file: 'kernel/pending-signal.js',
      from: 'Atomics.exchange(words, at, 0)',
      to: 'Atomics.load(words, at)',
    },
    {
      name: 'a signal that can be ignored takes the place of SIGKILL',
      file: 'kernel/pending-signal.js',
      from: '=== SIGKILL)',
      to: '=== 0)',
    },
    {
      name: 'the process is named before it can be signalled',
      file: 'kernel/hand-over.js',
      from: 'Atomics.store(words, row + Process.STATE, ProcessState.LIVE);\n    const pending = tellPid(memory, slot, pid);',
      to: 'const pending = tellPid(memory, slot, pid);\n    Atomics.store(words, row + Process.STATE, ProcessState.LIVE);',
    },
    {
      name: 'the step may end the call before its khelper has let go of it',
      file: 'kernel/hand-over.js',
      from: 'letGo();\n    if (stepping && told)\n        watchStep(memory, libc, index, epoll);',
      to: 'if (stepping && told)\n        watchStep(memory, libc, index, epoll);\n    letGo();\n    if (stepping) {}',
    },
    {
      name: 'the process may be reaped before its step is watched',
      file: 'kernel/hand-over.js',
      from: 'letGo();\n    if (stepping',
      to: 'Atomics.store(words, row + Process.HANDED_OVER, 1);\n    letGo();\n    if (stepping',
    },
    {
      name: 'its exit is watched before its step is',
      file: 'kernel/hand-over.js',
      from: 'letGo();\n    if (stepping',
      to: 'letGo();\n    watchExit();\n    if (stepping',
    },
    {
      name: 'the khelper looks whether somebody asks before the process is handed over',
      file: 'kernel/hand-over.js',
      from: 'Atomics.store(words, row + Process.HANDED_OVER, 1);\n    const asked = stepping && !told && Atomics.load(words, slotRow + Slot.EXEC) === ExecState.AWAITED;',
      to: 'const asked = stepping && !told && Atomics.load(words, slotRow + Slot.EXEC) === ExecState.AWAITED;\n    Atomics.store(words, row + Process.HANDED_OVER, 1);',
    },
    {
      name: 'the khelper does not look whether somebody asks',
      file: 'kernel/hand-over.js',
      from: '=== ExecState.AWAITED;\n    if (',
      to: '=== ExecState.FAILED;\n    if (',
    },
    {
      name: 'two signals at once: one is stored over the other',
      file: 'kernel/pending-signal.js',
      from: 'if (Atomics.compareExchange(words, at, before, request) === before)\n            return;',
      to: 'Atomics.store(words, at, request);\n        return;',
    },
    {
      name: 'the exec is told before the step is over',
      file: 'kernel/hand-over.js',
      from: 'if (!stepping)\n        completer.execDone',
      to: 'if (true)\n        completer.execDone',
    },
    {
      name: 'a flush hears nothing of a call that ends with its exec',
      file: 'kernel/hand-over.js',
      from: 'completer.umhComplete(slot, 0);\n    // Pending until here.\n    tellFlushers(memory);',
      to: 'completer.umhComplete(slot, 0);',
    },
    {
      name: 'a step is over twice',
      file: 'kernel/hand-over.js',
      from: 'memory.words[at] = 0;',
      to: '',
    },
    {
      name: 'a step that failed leaves its process alone',
      file: 'kernel/hand-over.js',
      from: 'libc.kill(pid, SIGKILL) === 0',
      to: 'pid > 0',
    },
    {
      name: 'a step that failed leaves its pid',
      file: 'kernel/hand-over.js',
      from: 'Slot.PID, 0)',
      to: 'Slot.PID, 1)',
    },
  ],
}
