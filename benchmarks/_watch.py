"""Memory and processor time of a process and of all that it starts."""

import threading
import time

import psutil


class Watch(threading.Thread):
    """Watches a process tree: the peak memory of each stage, and the processor seconds of all processes seen so far.

    Training runs in processes that outlive what started them, and whose times nobody is told when they end. They are
    looked at while they run, so that the last second of each is not counted.
    """

    def __init__(self, process, interval=1.0):
        super().__init__(daemon=True)
        self.interval = interval
        self.process, self.stage, self.peaks, self.used = process, "start", {}, {}

    def run(self):
        """Look every so many seconds until the process ends."""
        while self.process.is_running():
            try:
                members = [self.process, *self.process.children(recursive=True)]
            except psutil.Error:
                return
            self.peaks[self.stage] = max(self.peaks.get(self.stage, 0), sum(map(self.look, members)))
            time.sleep(self.interval)

    def look(self, member):
        """Note a process's time, and return its memory in GiB; 0 if it has ended."""
        try:
            with member.oneshot():
                times = member.cpu_times()
                self.used[member.pid, member.create_time()] = times.user + times.system
                return member.memory_full_info().pss / 2**30
        except psutil.Error:
            return 0.0

    def processor_seconds(self):
        """Return the time that all processes have used, as far as it was seen."""
        return sum(self.used.copy().values())
